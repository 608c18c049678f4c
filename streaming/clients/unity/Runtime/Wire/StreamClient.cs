using System;
using System.Collections.Generic;
using System.Threading;

namespace Unvisor
{
    public enum StreamState
    {
        Connecting,  // nobody answered yet
        Waiting,     // connected; no frame yet, or none for a while
        Receiving,
        Paused,      // the publisher said so
        KeysRefused, // it wants keys, or other keys
        Unreadable,  // messages come, in a format or shape that this client cannot read
    }

    /// <summary>
    /// Reads on a thread of its own; the newest message of each topic waits to be taken. Connects when a publisher
    /// appears, and again after it restarts. Never throws after construction.
    /// </summary>
    public sealed class StreamClient : IDisposable
    {
        private const int PollMs = 50;       // how soon Dispose is noticed
        private const int RetryMs = 500;     // between attempts to connect
        private const double SilenceSeconds = 2; // then the control socket is asked again
        private const int Batch = 64;        // messages drained before the newest are handed over
        private const double CatchUpSeconds = 0.1; // after standing still, wait so long for what is new

        private readonly object door = new object();
        private readonly Func<ITransport> openTransport;
        private readonly string[] topics;
        private readonly Dictionary<string, Arrival> newest = new Dictionary<string, Arrival>();
        private readonly Thread thread;
        private volatile bool stopping;
        private StreamState state = StreamState.Connecting;
        private string text = "Connecting.";
        private long received, skipped, rejected;

        /// <summary>Starts at once; `openTransport` is called on the client's own thread.</summary>
        public StreamClient(Func<ITransport> openTransport, params string[] topics)
        {
            this.openTransport = openTransport;
            this.topics = topics;
            thread = new Thread(Run) { IsBackground = true, Name = "unvisor" };
            thread.Start();
        }

        public StreamState State
        {
            get { lock (door) return state; }
        }

        /// <summary>One sentence for a person.</summary>
        public string Text
        {
            get { lock (door) return text; }
        }

        /// <summary>Messages read.</summary>
        public long Received
        {
            get { lock (door) return received; }
        }

        /// <summary>Messages that newer ones replaced before anyone took them.</summary>
        public long Skipped
        {
            get { lock (door) return skipped; }
        }

        /// <summary>Messages that could not be read.</summary>
        public long Rejected
        {
            get { lock (door) return rejected; }
        }

        /// <summary>Takes the newest message of a topic that was not taken yet; never waits.</summary>
        public bool TryTake(string topic, out Arrival arrival)
        {
            lock (door)
            {
                return newest.TryGetValue(topic, out arrival) && newest.Remove(topic);
            }
        }

        public void Dispose()
        {
            stopping = true;
            thread.Join();
        }

        private void Run()
        {
            while (!stopping)
            {
                try
                {
                    using (ITransport transport = openTransport())
                    using (var connection = new StreamConnection(transport, topics))
                    {
                        // Silence is what a pause sounds like.
                        if (State != StreamState.Paused) Tell(StreamState.Waiting, "Connected, waiting for frames.");
                        Read(connection);
                        continue;
                    }
                }
                catch (KeysRefusedException error)
                {
                    Tell(StreamState.KeysRefused, error.Message);
                }
                catch (Exception error) // the thread must outlive whatever a network brings
                {
                    Tell(StreamState.Connecting, error.Message);
                }
                for (int waited = 0; waited < RetryMs && !stopping; waited += PollMs) Thread.Sleep(PollMs);
            }
        }

        private void Read(StreamConnection connection)
        {
            double heard = StreamConnection.Now;
            var batch = new Dictionary<string, Arrival>();
            var backlog = new Backlog();
            while (!stopping && StreamConnection.Now - heard < SilenceSeconds)
            {
                batch.Clear();
                double started = StreamConnection.Now;
                int waitMs = PollMs;
                do
                {
                    for (int i = 0; i < Batch && ReadOne(connection, i == 0 ? waitMs : 0, batch); i++)
                    {
                        heard = StreamConnection.Now;
                    }
                    waitMs = 5;
                }
                while (backlog.IsLate(batch) && StreamConnection.Now - started < PollMs * 1e-3 + CatchUpSeconds);
                backlog.Add(batch);
                HandOver(batch);
            }
        }

        private bool ReadOne(StreamConnection connection, int waitMs, Dictionary<string, Arrival> batch)
        {
            Arrival arrival;
            try
            {
                if (!connection.TryReceive(waitMs, out arrival)) return false;
            }
            catch (MessageException error)
            {
                Tell(StreamState.Unreadable, error.Message);
                lock (door) rejected++;
                return true;
            }
            lock (door)
            {
                received++;
                if (batch.ContainsKey(arrival.Message.Topic)) skipped++;
            }
            batch[arrival.Message.Topic] = arrival;
            return true;
        }

        private void HandOver(Dictionary<string, Arrival> batch)
        {
            foreach (KeyValuePair<string, Arrival> pair in batch)
            {
                if (pair.Key == "notify.unvisor.paused") Tell(StreamState.Paused, "The wearer paused the stream.");
                if (pair.Key == "notify.unvisor.resumed") Tell(StreamState.Waiting, "Resumed, waiting for frames.");
                if (!(pair.Value.Message is CapturedMessage)) continue;
                lock (door)
                {
                    if (newest.ContainsKey(pair.Key)) skipped++;
                    newest[pair.Key] = pair.Value;
                }
                Tell(StreamState.Receiving, "Receiving.");
            }
        }

        private void Tell(StreamState newState, string newText)
        {
            lock (door)
            {
                state = newState;
                text = newText;
            }
        }
    }
}
