using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Net.Sockets;
using System.Text;

namespace Unvisor
{
    /// <summary>
    /// One ZeroMQ connection in plain C#: ZMTP 3.0 with the NULL mechanism, over TCP. It needs no library, and
    /// so nothing that IL2CPP could strip or that is missing on a headset. It cannot encrypt.
    /// </summary>
    internal sealed class ZmtpSocket : IDisposable
    {
        private const int More = 1, Long = 2, Command = 4;
        private const int KernelBufferBytes = 64 * 1024; // small: seconds of old frames must not fit
        private const int MaxPartBytes = 64 * 1024 * 1024;
        private const int MaxParts = 8;
        private const int GreetingBytes = 64;

        private readonly Socket socket;
        private readonly string where;
        private byte[] buffer = new byte[KernelBufferBytes];
        private int start, end; // what was read and not used yet
        private List<byte[]> parts = new List<byte[]>();

        /// <summary>Connects as "REQ" or "SUB"; throws ConnectException.</summary>
        public ZmtpSocket(string host, int port, string kind, int timeoutMs)
        {
            where = "tcp://" + host + ":" + port;
            socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.NoDelay = true;
                socket.ReceiveBufferSize = KernelBufferBytes;
                socket.SendTimeout = timeoutMs;
                Connect(host, port, timeoutMs);
                Greet(kind, timeoutMs);
            }
            catch (Exception error)
            {
                socket.Dispose();
                if (error is SocketException || error is IOException) throw Nobody();
                throw;
            }
        }

        public void Dispose()
        {
            socket.Dispose();
        }

        public void Send(IList<byte[]> message)
        {
            for (int i = 0; i < message.Count; i++) SendFrame(i + 1 < message.Count ? More : 0, message[i]);
        }

        /// <summary>
        /// The next whole message; null when none is there in time. A message that came in part stays and is
        /// continued by the next call. Throws IOException when the peer has gone.
        /// </summary>
        public IList<byte[]> Receive(int timeoutMs)
        {
            var watch = Stopwatch.StartNew();
            while (true)
            {
                int flags;
                byte[] body;
                while (TryTakeFrame(out flags, out body))
                {
                    if ((flags & Command) != 0)
                    {
                        Obey(body);
                        continue;
                    }
                    if (parts.Count < MaxParts) parts.Add(body);
                    if ((flags & More) != 0) continue;
                    IList<byte[]> whole = parts;
                    parts = new List<byte[]>();
                    return whole;
                }
                long leftMs = timeoutMs - watch.ElapsedMilliseconds;
                if (!ReadSome((int)Math.Max(0, leftMs))) return null;
            }
        }

        private void Connect(string host, int port, int timeoutMs)
        {
            IAsyncResult connecting = socket.BeginConnect(host, port, null, null);
            if (!connecting.AsyncWaitHandle.WaitOne(timeoutMs)) throw Nobody();
            socket.EndConnect(connecting);
        }

        private ConnectException Nobody()
        {
            return new ConnectException(
                "Nobody answers at " + where + ". Start `unvisor run` or `unvisor demo`, or check the address.");
        }

        private void Greet(string kind, int timeoutMs)
        {
            var greeting = new byte[GreetingBytes];
            greeting[0] = 0xff;
            greeting[9] = 0x7f;
            greeting[10] = 3; // ZMTP 3.0: subscriptions are messages
            Encoding.ASCII.GetBytes("NULL").CopyTo(greeting, 12);
            // The mechanism last: a peer that has another one hangs up on reading ours, and first tells us its own.
            socket.Send(greeting, 0, 12, SocketFlags.None);
            var watch = Stopwatch.StartNew();
            while (end - start < GreetingBytes) WaitForMore(watch, timeoutMs);
            if (buffer[start] != 0xff || buffer[start + 10] < 3)
            {
                throw new ConnectException("What listens at " + where + " does not speak ZeroMQ 3. Check the port.");
            }
            string mechanism = Encoding.ASCII.GetString(buffer, start + 12, 20).TrimEnd('\0');
            start += GreetingBytes;
            if (mechanism != "NULL")
            {
                throw new KeysRefusedException(
                    where + " is encrypted (" + mechanism + "). Run `unvisor relay` on this machine and connect to it, "
                    + "or use the NetMQ transport with keys.");
            }
            socket.Send(greeting, 12, GreetingBytes - 12, SocketFlags.None);
            SendFrame(Command, Ready(kind));
            ReadReady(watch, timeoutMs);
        }

        private void ReadReady(Stopwatch watch, int timeoutMs)
        {
            int flags;
            byte[] body;
            while (!TryTakeFrame(out flags, out body)) WaitForMore(watch, timeoutMs);
            if ((flags & Command) == 0 || !IsCommand(body, "READY"))
            {
                throw new KeysRefusedException(where + " refused the connection.");
            }
        }

        private static byte[] Ready(string kind)
        {
            var body = new MemoryStream();
            WriteShort(body, "READY");
            WriteShort(body, "Socket-Type");
            body.Write(new byte[] { 0, 0, 0, (byte)kind.Length }, 0, 4);
            body.Write(Encoding.ASCII.GetBytes(kind), 0, kind.Length);
            return body.ToArray();
        }

        private static void WriteShort(Stream body, string text)
        {
            body.WriteByte((byte)text.Length);
            body.Write(Encoding.ASCII.GetBytes(text), 0, text.Length);
        }

        private static bool IsCommand(byte[] body, string name)
        {
            return body.Length > name.Length && body[0] == name.Length
                && Encoding.ASCII.GetString(body, 1, name.Length) == name;
        }

        private void Obey(byte[] body)
        {
            if (IsCommand(body, "ERROR")) throw new IOException("The publisher ended the connection.");
            if (!IsCommand(body, "PING")) return;
            var pong = new MemoryStream();
            WriteShort(pong, "PONG");
            pong.Write(body, Math.Min(7, body.Length), Math.Max(0, body.Length - 7)); // after name and lifetime
            SendFrame(Command, pong.ToArray());
        }

        private void SendFrame(int flags, byte[] body)
        {
            byte[] head = { (byte)flags, (byte)body.Length };
            if (body.Length > 255)
            {
                head = new byte[9];
                head[0] = (byte)(flags | Long);
                for (int i = 0; i < 4; i++) head[8 - i] = (byte)(body.Length >> 8 * i);
            }
            var whole = new byte[head.Length + body.Length];
            head.CopyTo(whole, 0);
            body.CopyTo(whole, head.Length);
            for (int sent = 0; sent < whole.Length;)
            {
                sent += socket.Send(whole, sent, whole.Length - sent, SocketFlags.None);
            }
        }

        private bool TryTakeFrame(out int flags, out byte[] body)
        {
            flags = 0;
            body = null;
            int have = end - start;
            if (have < 2) return false;
            flags = buffer[start];
            int head = (flags & Long) != 0 ? 9 : 2;
            if (have < head) return false;
            ulong length = buffer[start + 1];
            for (int i = 2; i < head; i++) length = length << 8 | buffer[start + i];
            if (length > MaxPartBytes) throw new IOException("A part is too large.");
            MakeRoom(head + (int)length);
            if (end - start < head + (int)length) return false;
            body = new byte[length];
            Buffer.BlockCopy(buffer, start + head, body, 0, (int)length);
            start += head + (int)length;
            return true;
        }

        private void MakeRoom(int wanted) // so that `wanted` bytes fit from `start` on
        {
            if (start + wanted < buffer.Length) return;
            byte[] larger = wanted < buffer.Length ? buffer : new byte[Math.Max(wanted + 1, 2 * buffer.Length)];
            Buffer.BlockCopy(buffer, start, larger, 0, end - start);
            end -= start;
            start = 0;
            buffer = larger;
        }

        private void WaitForMore(Stopwatch watch, int timeoutMs)
        {
            long leftMs = timeoutMs - watch.ElapsedMilliseconds;
            if (leftMs <= 0 || !ReadSome((int)leftMs)) throw Nobody();
        }

        private bool ReadSome(int timeoutMs)
        {
            MakeRoom(end - start + 1);
            if (!socket.Poll(timeoutMs * 1000, SelectMode.SelectRead)) return false;
            int count = socket.Receive(buffer, end, buffer.Length - end, SocketFlags.None);
            if (count == 0) throw new IOException("The publisher has gone.");
            end += count;
            return true;
        }
    }
}
