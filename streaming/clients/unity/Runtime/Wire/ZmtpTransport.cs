using System.Collections.Generic;
using System.IO;
using System.Net.Sockets;
using System.Text;

namespace Unvisor
{
    /// <summary>The transport without any library, for streams that are not encrypted.</summary>
    public sealed class ZmtpTransport : ITransport
    {
        private readonly string host;
        private readonly int controlPort;
        private ZmtpSocket control;
        private ZmtpSocket frames;

        /// <summary>Nothing is sent yet.</summary>
        public ZmtpTransport(string host, int controlPort)
        {
            this.host = host;
            this.controlPort = controlPort;
        }

        public string Ask(IList<byte[]> question, int timeoutMs)
        {
            try
            {
                if (control == null) control = new ZmtpSocket(host, controlPort, "REQ", timeoutMs);
                var parts = new List<byte[]> { new byte[0] }; // REQ puts an empty part before the question
                parts.AddRange(question);
                control.Send(parts);
                IList<byte[]> answer = control.Receive(timeoutMs);
                if (answer != null && answer.Count == 2) return Encoding.UTF8.GetString(answer[1]);
            }
            catch (IOException)
            {
            }
            catch (SocketException)
            {
            }
            if (control != null) control.Dispose();
            control = null;
            throw new ConnectException(
                "The control socket tcp://" + host + ":" + controlPort + " does not answer. Check that unvisor runs.");
        }

        public void Subscribe(int port, IEnumerable<string> topics, int timeoutMs)
        {
            frames = new ZmtpSocket(host, port, "SUB", timeoutMs);
            foreach (string topic in topics)
            {
                frames.Send(new[] { Encoding.UTF8.GetBytes("\u0001" + topic) });
            }
        }

        public IList<byte[]> Receive(int timeoutMs)
        {
            try
            {
                return frames.Receive(timeoutMs);
            }
            catch (IOException error)
            {
                throw new ConnectException("The stream ended: " + error.Message);
            }
            catch (SocketException error)
            {
                throw new ConnectException("The stream ended: " + error.Message);
            }
        }

        public void Dispose()
        {
            if (control != null) control.Dispose();
            if (frames != null) frames.Dispose();
        }
    }
}
