using System;
using System.Collections.Generic;

namespace Unvisor
{
    /// <summary>
    /// Tells the backlog that a client finds after standing still from what is published now: when a client does not
    /// read, the oldest messages are kept on the way and the newest are dropped.
    /// </summary>
    internal sealed class Backlog
    {
        private const double LateSeconds = 0.1; // later than usual by so much is a backlog
        private const int UsualOf = 100;        // arrivals whose least age is the usual one
        private readonly Queue<double> ages = new Queue<double>();

        /// <summary>Whether newer messages must be on their way.</summary>
        public bool IsLate(Dictionary<string, Arrival> batch)
        {
            double usual = double.PositiveInfinity;
            foreach (double age in ages) usual = Math.Min(usual, age);
            bool isLate = false;
            foreach (KeyValuePair<string, Arrival> pair in batch)
            {
                if (!(pair.Value.Message is CapturedMessage)) continue;
                if (!(pair.Value.AgeSeconds - usual > LateSeconds)) return false;
                isLate = true;
            }
            return isLate;
        }

        /// <summary>Counts messages that are handed over; late ones are the usual from now on.</summary>
        public void Add(Dictionary<string, Arrival> batch)
        {
            if (IsLate(batch)) ages.Clear();
            foreach (KeyValuePair<string, Arrival> pair in batch)
            {
                if (!(pair.Value.Message is CapturedMessage)) continue;
                ages.Enqueue(pair.Value.AgeSeconds);
                if (ages.Count > UsualOf) ages.Dequeue();
            }
        }
    }
}
