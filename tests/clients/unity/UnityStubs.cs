// What the Unity package uses of Unity, with the same names and signatures, and just enough behaviour
// to run the component without an editor: textures remember what was put into them.
using System;
using System.Collections.Generic;
using System.Reflection;

namespace UnityEngine
{
    public class Object
    {
        public static int Destroyed;

        public static void Destroy(Object what)
        {
            Destroyed++;
        }
    }

    public class Component : Object
    {
        public GameObject gameObject;

        public T GetComponent<T>() where T : class
        {
            return gameObject.GetComponent<T>();
        }
    }

    public class Transform : Component
    {
        public Vector3 position;
    }

    public class MonoBehaviour : Component
    {
        // Unity calls these by name, private or not.
        public void Call(string name)
        {
            MethodInfo method = GetType().GetMethod(
                name, BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public);
            if (method != null) method.Invoke(this, null);
        }
    }

    public class GameObject : Object
    {
        public readonly List<Component> Components = new List<Component> { new Transform(), new Renderer() };
        public static readonly List<GameObject> All = new List<GameObject>();
        private bool active = true;

        public Transform transform
        {
            get { return (Transform)Components[0]; }
        }

        public static GameObject CreatePrimitive(PrimitiveType kind)
        {
            var made = new GameObject();
            All.Add(made);
            return made;
        }

        public void SetActive(bool value)
        {
            if (active == value) return;
            active = value;
            foreach (Component one in Components)
            {
                var script = one as MonoBehaviour;
                if (script != null) script.Call(value ? "OnEnable" : "OnDisable");
            }
        }

        public T AddComponent<T>() where T : Component, new()
        {
            var made = new T { gameObject = this };
            Components.Add(made);
            var script = made as MonoBehaviour;
            if (script != null && active) script.Call("OnEnable");
            return made;
        }

        public T GetComponent<T>() where T : class
        {
            foreach (Component one in Components)
            {
                if (one is T) return one as T;
            }
            return null;
        }
    }

    public enum PrimitiveType { Sphere, Capsule, Cylinder, Cube, Plane, Quad }

    public enum TextureFormat { RGB24 = 3, RGBA32 = 4 }

    public enum TextureWrapMode { Repeat, Clamp }

    public class Texture : Object
    {
        public virtual int width { get; set; }
        public virtual int height { get; set; }
        public TextureWrapMode wrapMode { get; set; }
    }

    public class Texture2D : Texture
    {
        public readonly bool Linear;
        public byte[] Encoded; // what LoadImage got
        public byte[] Raw;     // what LoadRawTextureData got
        public int Applied;

        public Texture2D(int width, int height, TextureFormat format, bool mipChain, bool linear)
        {
            this.width = width;
            this.height = height;
            this.format = format;
            Linear = linear;
        }

        public TextureFormat format { get; private set; }

        public void LoadRawTextureData(byte[] data)
        {
            if (data.Length != 4 * width * height) throw new ArgumentException("not the texture's size");
            Raw = data;
        }

        public void Apply(bool updateMipmaps)
        {
            Applied++;
        }

        internal void SetEncoded(byte[] data)
        {
            Encoded = data;
            format = TextureFormat.RGB24;
        }
    }

    public static class ImageConversion
    {
        public static bool LoadImage(this Texture2D texture, byte[] data)
        {
            texture.SetEncoded(data);
            return data.Length > 100;
        }
    }

    public class Shader : Object
    {
        public static Shader Find(string name)
        {
            return new Shader();
        }
    }

    public class Material : Object
    {
        public Material(Shader shader)
        {
        }

        public Texture mainTexture { get; set; }
    }

    public class Renderer : Component
    {
        public Material material { get; set; }
    }

    public struct Vector3
    {
        public float x, y, z;

        public Vector3(float x, float y, float z)
        {
            this.x = x;
            this.y = y;
            this.z = z;
        }
    }

    public struct Rect
    {
        public Rect(float x, float y, float width, float height)
        {
        }
    }

    public static class GUI
    {
        public static string Shown = "";

        public static void Label(Rect place, string text)
        {
            Shown = text;
        }
    }

    [AttributeUsage(AttributeTargets.Field)]
    public class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string text)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string path)
        {
        }
    }
}

namespace UnityEngine.Events
{
    [Serializable]
    public class UnityEvent<T>
    {
        private event Action<T> called;

        public void AddListener(Action<T> listener)
        {
            called += listener;
        }

        public void Invoke(T value)
        {
            if (called != null) called(value);
        }
    }
}
