// The part of NetMQ 4 that NetMqTransport uses: names and signatures only, to compile against.
using System;
using System.Collections.Generic;

namespace NetMQ
{
    public class NetMQCertificate
    {
        public NetMQCertificate(byte[] secretKey, byte[] publicKey)
        {
        }
    }

    public class SocketOptions
    {
        public TimeSpan Linger { get; set; }
        public int ReceiveBuffer { get; set; }
        public int ReceiveHighWatermark { get; set; }
        public byte[] CurveServerKey { get; set; }
        public NetMQCertificate CurveCertificate { get; set; }
    }

    public interface IOutgoingSocket
    {
    }

    public interface IReceivingSocket
    {
    }

    public abstract class NetMQSocket : IOutgoingSocket, IReceivingSocket, IDisposable
    {
        public SocketOptions Options { get; private set; }

        public void Connect(string address)
        {
        }

        public void Dispose()
        {
        }
    }

    public static class OutgoingSocketExtensions
    {
        public static void SendFrame(this IOutgoingSocket socket, byte[] data, bool more = false)
        {
        }
    }

    public static class ReceivingSocketExtensions
    {
        public static bool TryReceiveFrameString(this IReceivingSocket socket, TimeSpan timeout, out string text)
        {
            text = null;
            return false;
        }

        public static bool TryReceiveMultipartBytes(
            this IReceivingSocket socket, TimeSpan timeout, ref List<byte[]> frames, int expectedFrameCount = 4)
        {
            return false;
        }
    }
}

namespace NetMQ.Sockets
{
    public class RequestSocket : NetMQSocket
    {
    }

    public class SubscriberSocket : NetMQSocket
    {
        public void Subscribe(string topic)
        {
        }
    }
}
