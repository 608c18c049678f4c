using System;
using System.Text;

namespace Unvisor
{
    /// <summary>
    /// Reads MessagePack values one after another. No reflection, no generated code, no boxing: numbers
    /// of every width come out as long or double, so it works under IL2CPP as it is.
    /// </summary>
    internal sealed class MsgPackReader
    {
        private readonly byte[] data;

        public MsgPackReader(byte[] data)
        {
            this.data = data;
        }

        /// <summary>Where the next value begins.</summary>
        public int Position { get; set; }

        /// <summary>Number of pairs; never more than the rest of the bytes can hold.</summary>
        public int ReadMapHeader()
        {
            int code = ReadByte();
            if (code >> 4 == 0x8) return CheckCount(code & 0x0f, 2);
            if (code == 0xde) return CheckCount((long)ReadBigEndian(2), 2);
            if (code == 0xdf) return CheckCount((long)ReadBigEndian(4), 2);
            throw new MessageException("is no map");
        }

        /// <summary>Number of items; never more than the rest of the bytes can hold.</summary>
        public int ReadListHeader()
        {
            int code = ReadByte();
            if (code >> 4 == 0x9) return CheckCount(code & 0x0f, 1);
            if (code == 0xdc) return CheckCount((long)ReadBigEndian(2), 1);
            if (code == 0xdd) return CheckCount((long)ReadBigEndian(4), 1);
            throw new MessageException("is no list");
        }

        public string ReadText()
        {
            int code = ReadByte();
            long length;
            if (code >> 5 == 0x5) length = code & 0x1f;
            else if (code == 0xd9) length = (long)ReadBigEndian(1);
            else if (code == 0xda) length = (long)ReadBigEndian(2);
            else if (code == 0xdb) length = (long)ReadBigEndian(4);
            else throw new MessageException("is no text");
            int start = Advance(length);
            return Encoding.UTF8.GetString(data, start, (int)length);
        }

        public bool ReadFlag()
        {
            int code = ReadByte();
            if (code == 0xc2) return false;
            if (code == 0xc3) return true;
            throw new MessageException("is neither true nor false");
        }

        /// <summary>Steps over a nil if the next value is one.</summary>
        public bool TryReadNil()
        {
            if (Position >= data.Length || data[Position] != 0xc0) return false;
            Position++;
            return true;
        }

        public long ReadInteger()
        {
            int code = ReadByte();
            if (code <= 0x7f) return code;
            if (code >= 0xe0) return code - 0x100;
            switch (code)
            {
                case 0xcc: return (long)ReadBigEndian(1);
                case 0xcd: return (long)ReadBigEndian(2);
                case 0xce: return (long)ReadBigEndian(4);
                case 0xcf:
                    ulong large = ReadBigEndian(8);
                    if (large > long.MaxValue) throw new MessageException("is out of range");
                    return (long)large;
                case 0xd0: return (sbyte)ReadBigEndian(1);
                case 0xd1: return (short)ReadBigEndian(2);
                case 0xd2: return (int)ReadBigEndian(4);
                case 0xd3: return (long)ReadBigEndian(8);
                default: throw new MessageException("is no whole number");
            }
        }

        public double ReadNumber()
        {
            int code = Position < data.Length ? data[Position] : -1;
            if (code != 0xca && code != 0xcb) return ReadInteger();
            Position++;
            if (code == 0xcb) return BitConverter.Int64BitsToDouble((long)ReadBigEndian(8));
            return BitConverter.ToSingle(BitConverter.GetBytes((uint)ReadBigEndian(4)), 0);
        }

        /// <summary>Steps over one value of any type, however deep it goes.</summary>
        public void Skip()
        {
            for (long pending = 1; pending > 0; pending--)
            {
                pending += SkipOne();
            }
        }

        private long SkipOne() // how many values lie inside the one stepped over
        {
            int code = ReadByte();
            if (code <= 0x7f || code >= 0xe0 || code == 0xc0 || code == 0xc2 || code == 0xc3) return 0;
            if (code >> 4 == 0x8) return 2 * (code & 0x0f);
            if (code >> 4 == 0x9) return code & 0x0f;
            if (code >> 5 == 0x5)
            {
                Advance(code & 0x1f);
                return 0;
            }
            switch (code)
            {
                case 0xdc: return CheckCount((long)ReadBigEndian(2), 1);
                case 0xdd: return CheckCount((long)ReadBigEndian(4), 1);
                case 0xde: return 2L * CheckCount((long)ReadBigEndian(2), 2);
                case 0xdf: return 2L * CheckCount((long)ReadBigEndian(4), 2);
                default:
                    Advance(BytesAfter(code));
                    return 0;
            }
        }

        private long BytesAfter(int code)
        {
            switch (code)
            {
                case 0xcc: case 0xd0: return 1;
                case 0xcd: case 0xd1: return 2;
                case 0xca: case 0xce: case 0xd2: return 4;
                case 0xcb: case 0xcf: case 0xd3: return 8;
                case 0xc4: case 0xd9: return (long)ReadBigEndian(1);
                case 0xc5: case 0xda: return (long)ReadBigEndian(2);
                case 0xc6: case 0xdb: return (long)ReadBigEndian(4);
                case 0xc7: return 1 + (long)ReadBigEndian(1); // extensions: a type, then the bytes
                case 0xc8: return 1 + (long)ReadBigEndian(2);
                case 0xc9: return 1 + (long)ReadBigEndian(4);
                case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8: return 1 + (1 << (code - 0xd4));
                default: throw new MessageException("is not MessagePack");
            }
        }

        private int ReadByte()
        {
            return data[Advance(1)];
        }

        private ulong ReadBigEndian(int count)
        {
            int start = Advance(count);
            ulong value = 0;
            for (int i = 0; i < count; i++) value = value << 8 | data[start + i];
            return value;
        }

        private int Advance(long count)
        {
            if (count > data.Length - Position) throw new MessageException("ends too early");
            int start = Position;
            Position += (int)count;
            return start;
        }

        private int CheckCount(long count, int bytesEach)
        {
            if (count * bytesEach > data.Length - Position) throw new MessageException("ends too early");
            return (int)count;
        }
    }
}
