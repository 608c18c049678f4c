using System;
using System.Globalization;
using System.Threading;

namespace Unvisor
{
    /// <summary>
    /// Publishing clock minus ours, from the answer that leaves the least doubt. After the first few questions one more
    /// is asked now and then, on a thread of its own: whoever reads pictures must not wait for a round trip.
    /// </summary>
    internal sealed class ClockFollower : IDisposable
    {
        private const int Probes = 10;
        private const int FollowEveryMs = 2000;
        private const double MaxDrift = 200e-6; // two crystals of +-100 ppm

        private readonly Func<string> askTime;
        private readonly object asking = new object(); // one question at a time
        private readonly object door = new object();
        private readonly ManualResetEvent stopping = new ManualResetEvent(false);
        private Thread thread;
        private double offsetSeconds, answeredAt;
        private double doubtSeconds = double.PositiveInfinity;

        /// <summary>`askTime` asks `t` and throws ConnectException without an answer; one thread at a time calls it.</summary>
        public ClockFollower(Func<string> askTime)
        {
            this.askTime = askTime;
        }

        public double OffsetSeconds
        {
            get { lock (door) return offsetSeconds; }
        }

        /// <summary>From nothing: what was known may be of another clock. Throws ConnectException.</summary>
        public void Measure()
        {
            lock (asking) // an answer that is under way counts as known
            {
                lock (door) doubtSeconds = double.PositiveInfinity;
                for (int i = 0; i < Probes; i++) Probe();
            }
        }

        public void Follow()
        {
            thread = new Thread(Run) { IsBackground = true, Name = "unvisor clock" };
            thread.Start();
        }

        /// <summary>Waits for a question that is under way, at most for as long as an answer may take.</summary>
        public void Dispose()
        {
            stopping.Set();
            if (thread != null) thread.Join();
        }

        private void Run()
        {
            while (!stopping.WaitOne(FollowEveryMs))
            {
                try
                {
                    lock (asking) Probe();
                }
                catch (Exception) // the reader finds out by itself when nobody is there
                {
                }
            }
        }

        private void Probe()
        {
            double asked = StreamConnection.Now;
            string answer = askTime();
            double answered = StreamConnection.Now;
            double theirs;
            if (!double.TryParse(answer, NumberStyles.Float, CultureInfo.InvariantCulture, out theirs))
            {
                throw new ConnectException("The control socket does not tell its time. Check the address.");
            }
            lock (door)
            {
                double doubt = (answered - asked) / 2;
                if (doubt > doubtSeconds + MaxDrift * (answered - answeredAt)) return;
                offsetSeconds = theirs - (asked + answered) / 2;
                doubtSeconds = doubt;
                answeredAt = answered;
            }
        }
    }
}
