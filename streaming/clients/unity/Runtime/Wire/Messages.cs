using System;

namespace Unvisor
{
    /// <summary>A message that does not keep to the format; the text says which key or part.</summary>
    public class MessageException : Exception
    {
        public MessageException(string message) : base(message)
        {
        }
    }

    /// <summary>A message of a topic that a later version may have added; a StreamConnection skips it.</summary>
    public sealed class UnknownTopicException : MessageException
    {
        public UnknownTopicException(string message) : base(message)
        {
        }
    }

    /// <summary>What the publisher sends. docs/WIRE.md has the format.</summary>
    public abstract class Message
    {
        public string Topic;
    }

    /// <summary>A message that belongs to one camera frame.</summary>
    public abstract class CapturedMessage : Message
    {
        /// <summary>Id of the camera frame; a gap is a drop, a fall is a restart.</summary>
        public long Index;

        /// <summary>Seconds of the capture on the publishing clock, which a client may set.</summary>
        public double Timestamp;

        /// <summary>The same instant on the publisher machine's monotonic clock, which never jumps.</summary>
        public long CaptureTimeNs;

        /// <summary>Same clock: when the message was sent.</summary>
        public long PublishTimeNs;

        /// <summary>Such as LIVE; show unknown ones as they are.</summary>
        public string[] Status;

        /// <summary>What made the hidden pixels; "none" when nothing did.</summary>
        public string Filler;

        /// <summary>Where the landmarks came from.</summary>
        public string LandmarkSource;
    }

    /// <summary>
    /// One image: jpeg.face, jpeg.world, jpeg.eye.0 (right), jpeg.eye.1 (left); the same with bgr. or gray.; or with
    /// frame., in the format that some client asked for last.
    /// </summary>
    public sealed class Frame : CapturedMessage
    {
        /// <summary>In px.</summary>
        public int Width;

        /// <summary>In px.</summary>
        public int Height;

        /// <summary>"jpeg", "bgr" or "gray".</summary>
        public string Format;

        /// <summary>Whether any pixel was made rather than seen.</summary>
        public bool Synthesised;

        /// <summary>A JPEG file, or height·width·3 or height·width bytes; rows from the top.</summary>
        public byte[] Pixels;

        /// <summary>
        /// Pixels of a bgr or gray frame as red, green, blue, alpha with the bottom row first, which is what
        /// Texture2D.LoadRawTextureData wants. A JPEG goes to LoadImage instead.
        /// </summary>
        public byte[] ToRgba32FromBottom()
        {
            int channels = Format == "bgr" ? 3 : 1;
            if (Format == "jpeg") throw new InvalidOperationException("A JPEG has no raw pixels.");
            var rgba = new byte[4 * Width * Height];
            for (int row = 0; row < Height; row++)
            {
                int from = row * Width * channels;
                int to = (Height - 1 - row) * Width * 4;
                for (int column = 0; column < Width; column++, from += channels, to += 4)
                {
                    rgba[to] = Pixels[from + channels - 1];
                    rgba[to + 1] = Pixels[from + channels / 2];
                    rgba[to + 2] = Pixels[from];
                    rgba[to + 3] = 255;
                }
            }
            return rgba;
        }
    }

    /// <summary>The face of one camera frame, as numbers. Right and left are the wearer's own.</summary>
    public sealed class FaceState : CapturedMessage
    {
        /// <summary>x, y, z of each point, px of frame.world from the top left; empty without a face.</summary>
        public float[] Landmarks;

        /// <summary>Radians: right yaw, right pitch, left yaw, left pitch.</summary>
        public float[] Gaze;

        /// <summary>Right, left; 0 shut to 1 open.</summary>
        public float[] Openness;

        /// <summary>Right, left: how old what the eye camera saw was; null without that eye.</summary>
        public long?[] EyeAgesNs;

        /// <summary>2×3, row by row: px of frame.face to px of frame.world.</summary>
        public float[] FrameFromCrop;

        /// <summary>Whether any pixel of this frame's pictures was made rather than seen.</summary>
        public bool Synthesised;

        /// <summary>What audio should wait for, in ms, without the client's own share; null before the first picture.</summary>
        public double? VideoDelayMs;
    }

    /// <summary>A word of the publisher, such as unvisor.paused.</summary>
    public sealed class Notification : Message
    {
        public string Subject;
    }
}
