using System;

namespace Unvisor
{
    /// <summary>The text form of ZeroMQ's keys: 5 characters for 4 bytes.</summary>
    public static class Z85
    {
        private const string Digits =
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

        /// <summary>The bytes of a text; throws ArgumentException for what is none.</summary>
        public static byte[] Decode(string text)
        {
            if (text == null || text.Length % 5 != 0) throw new ArgumentException("A key has 40 characters.");
            var bytes = new byte[text.Length / 5 * 4];
            for (int group = 0; group < text.Length / 5; group++)
            {
                ulong value = 0;
                for (int i = 0; i < 5; i++)
                {
                    int digit = Digits.IndexOf(text[5 * group + i]);
                    if (digit < 0) throw new ArgumentException("A key holds a character that Z85 does not know.");
                    value = 85 * value + (ulong)digit;
                }
                if (value > uint.MaxValue) throw new ArgumentException("A key holds five characters beyond 32 bits.");
                for (int i = 0; i < 4; i++) bytes[4 * group + i] = (byte)(value >> 8 * (3 - i));
            }
            return bytes;
        }
    }
}
