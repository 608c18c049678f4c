// Play.exe HOST PORT SECONDS [TOPIC]: runs the sample as Unity would, against a real publisher, and prints one line per
// uploaded picture: `frame INDEX AGE_MS BYTES LANDMARKS FORMAT`; and one line whenever the status text changes.
using System;
using System.Linq;
using System.Text;
using System.Threading;
using UnityEngine;
using Unvisor;

public static class Play
{
    public static void Main(string[] arguments)
    {
        string host = arguments[0];
        int port = int.Parse(arguments[1]);
        double until = StreamConnection.Now + double.Parse(arguments[2]);
        var plane = GameObject.CreatePrimitive(PrimitiveType.Quad);
        plane.SetActive(false);
        var face = plane.AddComponent<UnvisorFace>();
        face.host = host;
        face.controlPort = port;
        if (arguments.Length > 3) face.topic = arguments[3];
        face.target = plane.GetComponent<Renderer>();
        face.target.material = new Material(Shader.Find("Unlit/Texture"));
        face.onFrame.AddListener(Print);
        plane.SetActive(true);
        string told = "";
        while (StreamConnection.Now < until)
        {
            face.Call("Update");
            if (face.StatusText != told) Console.WriteLine("status " + face.State + " " + (told = face.StatusText));
            Thread.Sleep(2);
        }
        plane.SetActive(false);
        face.Call("OnDestroy");
    }

    private static void Print(UnvisorFace face)
    {
        byte[] bytes = face.Texture.Raw ?? face.Texture.Encoded;
        if (face.target.material.mainTexture != face.Texture || face.Texture.Linear) throw new Exception("not shown");
        Console.WriteLine(string.Format(
            "frame {0} {1:0.000} {2} {3} {4} {5}", face.Frame.Index, 1000 * face.AgeSeconds, bytes.Length,
            face.Face == null ? 0 : face.Face.Landmarks.Length, face.Texture.format, face.IsLive));
        Console.Out.Flush();
    }
}
