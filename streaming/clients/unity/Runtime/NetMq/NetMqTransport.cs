#if UNVISOR_NETMQ
using System;
using System.Collections.Generic;
using NetMQ;
using NetMQ.Sockets;

namespace Unvisor
{
    /// <summary>
    /// The transport for encrypted streams. Needs NetMQ 4.0.1 or later in the project (with AsyncIO and NaCl.Net) and the
    /// scripting symbol UNVISOR_NETMQ. Wrong keys look like silence: NetMQ does not tell.
    /// </summary>
    public sealed class NetMqTransport : ITransport
    {
        private readonly string host;
        private readonly int controlPort;
        private readonly KeyFile keys;
        private SubscriberSocket frames;

        /// <summary>Nothing is sent yet. Keys: KeyFile.Parse(text of a file that `unvisor keys new` made).</summary>
        public NetMqTransport(string host, int controlPort, KeyFile keys)
        {
            this.host = host;
            this.controlPort = controlPort;
            this.keys = keys;
        }

        public string Ask(IList<byte[]> question, int timeoutMs)
        {
            using (var control = new RequestSocket()) // one each: an unanswered one could not ask again
            {
                Prepare(control);
                control.Connect("tcp://" + host + ":" + controlPort);
                for (int i = 0; i < question.Count; i++) control.SendFrame(question[i], i + 1 < question.Count);
                string answer;
                if (control.TryReceiveFrameString(TimeSpan.FromMilliseconds(timeoutMs), out answer)) return answer;
            }
            throw new ConnectException(
                "Nobody answers at tcp://" + host + ":" + controlPort + ". Check the address, that unvisor runs, and "
                + "that this client's key is allowed there.");
        }

        public void Subscribe(int port, IEnumerable<string> topics, int timeoutMs)
        {
            frames = new SubscriberSocket();
            Prepare(frames);
            frames.Options.ReceiveBuffer = 64 * 1024;
            frames.Options.ReceiveHighWatermark = 8;
            frames.Connect("tcp://" + host + ":" + port);
            foreach (string topic in topics) frames.Subscribe(topic);
        }

        public IList<byte[]> Receive(int timeoutMs)
        {
            List<byte[]> parts = null;
            return frames.TryReceiveMultipartBytes(TimeSpan.FromMilliseconds(timeoutMs), ref parts) ? parts : null;
        }

        public void Dispose()
        {
            if (frames != null) frames.Dispose();
        }

        private void Prepare(NetMQSocket socket)
        {
            socket.Options.Linger = TimeSpan.Zero;
            socket.Options.CurveServerKey = keys.Server;
            socket.Options.CurveCertificate = new NetMQCertificate(keys.Secret, keys.Public);
        }
    }
}
#endif
