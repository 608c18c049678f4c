using System;
using System.Collections.Generic;

namespace Unvisor
{
    /// <summary>A client's keys, 32 bytes each, from a file that `unvisor keys new` made.</summary>
    public sealed class KeyFile
    {
        public byte[] Server { get; private set; }

        public byte[] Public { get; private set; }

        public byte[] Secret { get; private set; }

        /// <summary>Reads the text of a key file; throws ArgumentException for what is none.</summary>
        public static KeyFile Parse(string text)
        {
            var fields = new Dictionary<string, string>();
            foreach (string line in text.Split('\n'))
            {
                // Lines such as `    public-key = "…"`; sections and comments have no quotes.
                int equals = line.IndexOf(" = \"", StringComparison.Ordinal);
                int last = line.LastIndexOf('"');
                if (equals < 0 || last < equals + 4) continue;
                fields[line.Substring(0, equals).Trim()] = line.Substring(equals + 4, last - equals - 4);
            }
            return new KeyFile
            {
                Server = Decode(fields, "server-key"),
                Public = Decode(fields, "public-key"),
                Secret = Decode(fields, "secret-key"),
            };
        }

        private static byte[] Decode(Dictionary<string, string> fields, string name)
        {
            string text;
            if (!fields.TryGetValue(name, out text) || text.Length != 40)
            {
                throw new ArgumentException(
                    "This is no client's key file: it has no " + name + ". Make one with `unvisor keys new NAME`.");
            }
            return Z85.Decode(text);
        }
    }
}
