using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace Unvisor
{
    /// <summary>A message and how old what it shows was when it arrived.</summary>
    public struct Arrival
    {
        public Message Message;

        /// <summary>Seconds since the capture, on the publisher's clock as measured; 0 for a word.</summary>
        public double AgeSeconds;

        /// <summary>StreamConnection.Now at arrival.</summary>
        public double ArrivedAt;
    }

    /// <summary>One connection to a publisher, for one thread; owns its transport.</summary>
    public sealed class StreamConnection : IDisposable
    {
        private const double ClockMovedSeconds = 0.001;

        private readonly ITransport transport;
        private readonly int timeoutMs;
        private readonly ClockFollower clock;
        private double? origin; // of the publishing clock on the monotonic one

        /// <summary>Asks SUB_PORT, v and t, then subscribes. Throws ConnectException.</summary>
        public StreamConnection(ITransport transport, IList<string> topics, int timeoutMs = 1000)
        {
            this.transport = transport;
            this.timeoutMs = timeoutMs;
            string answer = Ask("SUB_PORT");
            int port;
            if (!int.TryParse(answer, NumberStyles.None, CultureInfo.InvariantCulture, out port) || port > 65535)
            {
                throw new ConnectException("This is not unvisor's control port: it names no publisher. Check the address.");
            }
            PublisherPort = port;
            Version = Ask("v");
            clock = new ClockFollower(() => Ask("t"));
            clock.Measure();
            var all = new List<string>(topics) { "notify.unvisor." };
            transport.Subscribe(port, all, timeoutMs);
            clock.Follow();
        }

        /// <summary>Seconds of this machine's steady clock.</summary>
        public static double Now
        {
            get { return (double)Stopwatch.GetTimestamp() / Stopwatch.Frequency; }
        }

        public string Version { get; private set; }

        public int PublisherPort { get; private set; }

        /// <summary>
        /// The next message in order; false when none came in time, or one of an unknown topic. Throws
        /// MessageException for a broken one, after which the next can be read, and ConnectException when the
        /// stream ended.
        /// </summary>
        public bool TryReceive(int waitMs, out Arrival arrival)
        {
            arrival = new Arrival();
            IList<byte[]> parts = transport.Receive(waitMs);
            if (parts == null) return false;
            try
            {
                arrival.Message = Decoder.Decode(parts);
            }
            catch (UnknownTopicException) // later versions add some, also below a prefix of ours
            {
                return false;
            }
            var captured = arrival.Message as CapturedMessage;
            if (captured != null) arrival.AgeSeconds = Age(captured);
            arrival.ArrivedAt = Now;
            return true;
        }

        public void Dispose()
        {
            clock.Dispose();
            transport.Dispose();
        }

        private string Ask(string question)
        {
            return transport.Ask(new[] { Encoding.UTF8.GetBytes(question) }, timeoutMs);
        }

        private double Age(CapturedMessage message)
        {
            double arrived = Now;
            double messageOrigin = message.Timestamp - message.CaptureTimeNs * 1e-9;
            // A client may set the publishing clock: then the offset is not what was measured.
            if (origin.HasValue && Math.Abs(messageOrigin - origin.Value) > ClockMovedSeconds)
            {
                clock.Measure();
                origin = null;
            }
            if (!origin.HasValue) origin = messageOrigin;
            return arrived + clock.OffsetSeconds - message.Timestamp;
        }
    }
}
