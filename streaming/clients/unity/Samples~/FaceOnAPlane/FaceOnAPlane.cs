using Unvisor;
using UnityEngine;

/// <summary>
/// A scene in one script: put it on an empty object in an empty scene and press Play while `unvisor demo` runs.
/// </summary>
public class FaceOnAPlane : MonoBehaviour
{
    [Tooltip("Machine on which unvisor runs.")]
    public string host = "127.0.0.1";

    private UnvisorFace face;

    private void Start()
    {
        GameObject plane = GameObject.CreatePrimitive(PrimitiveType.Quad);
        plane.SetActive(false); // so that the host is set before the client starts
        plane.transform.position = new Vector3(0f, 1f, 0f);
        face = plane.AddComponent<UnvisorFace>();
        face.host = host;
        face.target = plane.GetComponent<Renderer>();
        face.target.material = new Material(Shader.Find("Unlit/Texture")); // the picture has its light already
        plane.SetActive(true);
    }

    private void OnGUI()
    {
        string line = face.StatusText;
        if (face.Frame != null)
        {
            line = "frame " + face.Frame.Index + "   age " + (1000 * face.AgeSeconds).ToString("0") + " ms   "
                + string.Join(" ", face.Frame.Status) + (face.Frame.Synthesised ? "   synthesised" : "") + "\n" + line;
        }
        GUI.Label(new Rect(10, 10, 800, 60), line);
    }
}
