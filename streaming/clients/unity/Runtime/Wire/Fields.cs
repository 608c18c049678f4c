using System;
using System.Collections.Generic;

namespace Unvisor
{
    /// <summary>Hands out one checked value of a map at a time; unknown keys are never looked at.</summary>
    internal sealed class Fields
    {
        private const int MaxBytes = 128 * 1024;
        private const double MaxNumber = 1e12; // also refuses NaN and infinity
        private readonly string topic;
        private readonly MsgPackReader reader;
        private readonly Dictionary<string, int> places = new Dictionary<string, int>();

        public Fields(string topic, byte[] packed)
        {
            this.topic = topic;
            reader = new MsgPackReader(packed);
            if (packed.Length > MaxBytes) throw new MessageException("The map of " + topic + " is too large.");
            try
            {
                int count = reader.ReadMapHeader();
                for (int i = 0; i < count; i++)
                {
                    string key = reader.ReadText();
                    places[key] = reader.Position;
                    reader.Skip();
                }
            }
            catch (MessageException error)
            {
                throw new MessageException("The map of " + topic + " " + error.Message + ".");
            }
        }

        public long Integer(string key, long low, long high)
        {
            long value = Read(key, r => r.ReadInteger());
            if (value < low || value > high) throw Error(key, "is out of range");
            return value;
        }

        public double Number(string key)
        {
            return Checked(key, Read(key, r => r.ReadNumber()));
        }

        public double? OptionalNumber(string key)
        {
            if (!places.ContainsKey(key)) return null;
            Seek(key);
            if (reader.TryReadNil()) return null;
            return Number(key);
        }

        public bool Has(string key)
        {
            return places.ContainsKey(key);
        }

        public bool Flag(string key)
        {
            return Read(key, r => r.ReadFlag());
        }

        public string Text(string key)
        {
            string value = Read(key, r => r.ReadText());
            if (value.Length > 128) throw Error(key, "is no short text");
            return value;
        }

        public string[] Texts(string key)
        {
            var all = new string[Count(key, -1)];
            for (int i = 0; i < all.Length; i++) all[i] = Next(key, r => r.ReadText());
            return all;
        }

        /// <summary>Numbers of a list of `wanted` items, or of any length with -1.</summary>
        public float[] Numbers(string key, int wanted)
        {
            var all = new float[Count(key, wanted)];
            for (int i = 0; i < all.Length; i++) all[i] = (float)Checked(key, Next(key, r => r.ReadNumber()));
            return all;
        }

        public long?[] OptionalIntegers(string key, int wanted)
        {
            var all = new long?[Count(key, wanted)];
            for (int i = 0; i < all.Length; i++)
            {
                if (!reader.TryReadNil()) all[i] = Next(key, r => r.ReadInteger());
            }
            return all;
        }

        private double Checked(string key, double value)
        {
            if (!(Math.Abs(value) <= MaxNumber)) throw Error(key, "is no finite number in range");
            return value;
        }

        private int Count(string key, int wanted)
        {
            int count = Read(key, r => r.ReadListHeader());
            if (wanted >= 0 && count != wanted) throw Error(key, "has " + count + " items, not " + wanted);
            return count;
        }

        private void Seek(string key)
        {
            int place;
            if (!places.TryGetValue(key, out place)) throw Error(key, "is missing");
            reader.Position = place;
        }

        private T Read<T>(string key, Func<MsgPackReader, T> read)
        {
            Seek(key);
            return Next(key, read);
        }

        private T Next<T>(string key, Func<MsgPackReader, T> read)
        {
            try
            {
                return read(reader);
            }
            catch (MessageException error)
            {
                throw Error(key, error.Message);
            }
        }

        private MessageException Error(string key, string why)
        {
            return new MessageException("'" + key + "' of " + topic + " " + why + ".");
        }
    }
}
