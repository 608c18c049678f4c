using System;
using System.Collections.Generic;

namespace Unvisor
{
    /// <summary>The publisher cannot be used; the text is one sentence with the next step.</summary>
    public class ConnectException : Exception
    {
        public ConnectException(string message) : base(message)
        {
        }
    }

    /// <summary>Somebody listens, but wants keys, or other keys.</summary>
    public sealed class KeysRefusedException : ConnectException
    {
        public KeysRefusedException(string message) : base(message)
        {
        }
    }

    /// <summary>Moves ZeroMQ messages. While one thread receives, another may ask; no more than these two.</summary>
    public interface ITransport : IDisposable
    {
        /// <summary>Asks the control socket; throws ConnectException without an answer in time.</summary>
        string Ask(IList<byte[]> question, int timeoutMs);

        /// <summary>Connects to a publishing port of the same host.</summary>
        void Subscribe(int port, IEnumerable<string> topics, int timeoutMs);

        /// <summary>The next message's parts; null when none came in time.</summary>
        IList<byte[]> Receive(int timeoutMs);
    }
}
