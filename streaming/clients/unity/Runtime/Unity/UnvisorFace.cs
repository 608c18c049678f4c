using System;
using UnityEngine;
using UnityEngine.Events;

namespace Unvisor
{
    /// <summary>
    /// Shows a restored face: put it on an object, give it a Renderer (or read Texture), press Play. The stream is read on
    /// another thread; Update takes the newest picture and uploads it.
    /// </summary>
    [AddComponentMenu("Unvisor/Unvisor Face")]
    public class UnvisorFace : MonoBehaviour
    {
        [Serializable]
        public class FaceEvent : UnityEvent<UnvisorFace>
        {
        }

        [Tooltip("Machine on which unvisor (or `unvisor relay`) runs.")]
        public string host = "127.0.0.1";

        [Tooltip("Its control port.")]
        public int controlPort = 50020;

        [Tooltip("jpeg.face (the square crop), jpeg.world (the whole camera frame), jpeg.eye.0 or jpeg.eye.1; bgr. is raw")]
        public string topic = "jpeg.face";

        [Tooltip("Its main texture becomes the picture; optional.")]
        public Renderer target;

        [Tooltip("A picture older than this is not shown as live, in seconds.")]
        public float staleAfter = 1f;

        [Tooltip("Called on the main thread after a new picture was uploaded.")]
        public FaceEvent onFrame = new FaceEvent();

        /// <summary>Opens the transport; set it before OnEnable to use another one, such as NetMqTransport.</summary>
        public Func<ITransport> OpenTransport;

        private StreamClient client;
        private double capturedAt; // StreamConnection.Now at the capture of what is shown

        /// <summary>The newest picture, upright, sRGB; null before the first one.</summary>
        public Texture2D Texture { get; private set; }

        /// <summary>What belongs to Texture: index, capture time, status, whether pixels were synthesised.</summary>
        public Frame Frame { get; private set; }

        /// <summary>The newest landmarks, gaze, openness; null before the first.</summary>
        public FaceState Face { get; private set; }

        /// <summary>Seconds since the shown picture was captured; infinite before the first one.</summary>
        public double AgeSeconds
        {
            get { return Frame == null ? double.PositiveInfinity : StreamConnection.Now - capturedAt; }
        }

        /// <summary>Whether the picture is fresh enough to be shown as live.</summary>
        public bool IsLive
        {
            get { return State == StreamState.Receiving && AgeSeconds < staleAfter; }
        }

        public StreamState State
        {
            get { return client == null ? StreamState.Connecting : client.State; }
        }

        /// <summary>One sentence for a person, such as "The wearer paused the stream."</summary>
        public string StatusText
        {
            get { return client == null ? "Disabled." : client.Text; }
        }

        private void OnEnable()
        {
            string from = host; // the thread must not touch the component
            int port = controlPort;
            client = new StreamClient(OpenTransport ?? (() => new ZmtpTransport(from, port)), topic, "face.state");
        }

        private void OnDisable()
        {
            client.Dispose();
            client = null;
        }

        private void OnDestroy()
        {
            if (Texture != null) Destroy(Texture);
        }

        private void Update()
        {
            Arrival arrival;
            if (client.TryTake("face.state", out arrival)) Face = (FaceState)arrival.Message;
            if (!client.TryTake(topic, out arrival)) return;
            var frame = (Frame)arrival.Message;
            if (!Upload(frame)) return;
            Frame = frame;
            capturedAt = arrival.ArrivedAt - arrival.AgeSeconds;
            onFrame.Invoke(this);
        }

        private bool Upload(Frame frame)
        {
            if (Texture == null) Texture = NewTexture(2, 2);
            if (frame.Format == "jpeg")
            {
                if (!Texture.LoadImage(frame.Pixels)) return false; // a broken one; the next will do
            }
            else
            {
                bool fits = Texture.width == frame.Width && Texture.height == frame.Height
                    && Texture.format == TextureFormat.RGBA32; // LoadImage may have changed it
                if (!fits)
                {
                    Destroy(Texture);
                    Texture = NewTexture(frame.Width, frame.Height);
                }
                Texture.LoadRawTextureData(frame.ToRgba32FromBottom());
                Texture.Apply(false);
            }
            if (target != null) target.material.mainTexture = Texture;
            return true;
        }

        private static Texture2D NewTexture(int width, int height)
        {
            // Not linear: the picture is sRGB, and shaders in a linear project then get it right.
            var texture = new Texture2D(width, height, TextureFormat.RGBA32, false, false);
            texture.wrapMode = TextureWrapMode.Clamp;
            return texture;
        }
    }
}
