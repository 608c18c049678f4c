using System;
using System.Collections.Generic;
using System.Text;

namespace Unvisor
{
    /// <summary>Makes records from the parts of a message.</summary>
    public static class Decoder
    {
        private const int MaxJpegBytes = 64 * 1024 * 1024;
        private const long MaxPixels = 1 << 26; // what decoding takes stays bounded
        private const int MaxLandmarks = 1024;
        private static readonly string[] Kinds = { "frame", "jpeg", "bgr", "gray", "h264" };
        private static readonly string[] Pictures = { "face", "world", "eye.0", "eye.1" };

        /// <summary>Reads one message; throws MessageException, and nothing else, for a bad one.</summary>
        public static Message Decode(IList<byte[]> parts)
        {
            if (parts.Count == 0 || parts[0].Length > 128) throw new MessageException("The message has no topic.");
            string topic = Encoding.UTF8.GetString(parts[0]);
            bool isFrame = IsFrame(topic);
            bool isWord = topic.StartsWith("notify.", StringComparison.Ordinal);
            if (!isFrame && !isWord && topic != "face.state")
            {
                throw new UnknownTopicException("The topic " + topic + " is unknown.");
            }
            int wanted = isFrame ? 3 : 2;
            if (parts.Count != wanted)
            {
                throw new MessageException(topic + " has " + parts.Count + " parts, not " + wanted + ".");
            }
            var fields = new Fields(topic, parts[1]);
            if (isFrame) return DecodeFrame(topic, fields, parts[2]);
            if (isWord) return new Notification { Topic = topic, Subject = fields.Text("subject") };
            return DecodeFaceState(topic, fields);
        }

        private static bool IsFrame(string topic) // frame.face; or jpeg.face and so on, whose format is certain
        {
            int dot = topic.IndexOf('.');
            if (dot < 0 || Array.IndexOf(Kinds, topic.Substring(0, dot)) < 0) return false;
            return Array.IndexOf(Pictures, topic.Substring(dot + 1)) >= 0;
        }

        private static Frame DecodeFrame(string topic, Fields fields, byte[] pixels)
        {
            var frame = new Frame
            {
                Width = (int)fields.Integer("width", 1, 16384),
                Height = (int)fields.Integer("height", 1, 16384),
                Format = fields.Text("format"),
                LandmarkSource = fields.Text("landmarks"),
                Synthesised = fields.Flag("synthesised"),
                Pixels = pixels,
            };
            ReadCapture(frame, topic, fields);
            CheckPixels(frame);
            return frame;
        }

        private static FaceState DecodeFaceState(string topic, Fields fields)
        {
            var state = new FaceState
            {
                Landmarks = fields.Numbers("landmarks", -1),
                Gaze = fields.Numbers("gaze", 4),
                Openness = fields.Numbers("openness", 2),
                EyeAgesNs = fields.OptionalIntegers("eye_ages_ns", 2),
                FrameFromCrop = fields.Numbers("frame_from_crop", 6),
                LandmarkSource = fields.Text("landmark_source"),
                VideoDelayMs = fields.OptionalNumber("video_delay_ms"),
            };
            ReadCapture(state, topic, fields);
            // Publishers of before the key: rather too often than too seldom.
            state.Synthesised = fields.Has("synthesised") ? fields.Flag("synthesised") : state.Filler != "none";
            if (state.Landmarks.Length % 3 != 0 || state.Landmarks.Length > 3 * MaxLandmarks)
            {
                throw new MessageException("'landmarks' of face.state is no list of points.");
            }
            return state;
        }

        private static void ReadCapture(CapturedMessage message, string topic, Fields fields)
        {
            message.Topic = topic;
            message.Index = fields.Integer("index", 0, long.MaxValue);
            message.Timestamp = fields.Number("timestamp");
            message.CaptureTimeNs = fields.Integer("capture_time_ns", 0, long.MaxValue);
            message.PublishTimeNs = fields.Integer("publish_time_ns", 0, long.MaxValue);
            message.Status = fields.Texts("status");
            message.Filler = fields.Text("filler");
        }

        private static void CheckPixels(Frame frame)
        {
            int bytes = frame.Pixels.Length;
            if ((long)frame.Width * frame.Height > MaxPixels)
            {
                throw new MessageException(frame.Topic + " promises too many pixels.");
            }
            if (frame.Format == "jpeg")
            {
                bool isJpeg = bytes >= 2 && frame.Pixels[0] == 0xff && frame.Pixels[1] == 0xd8;
                if (isJpeg && bytes <= MaxJpegBytes) return;
                throw new MessageException(frame.Topic + " holds no JPEG of usable size.");
            }
            if (frame.Format != "bgr" && frame.Format != "gray")
            {
                throw new MessageException(
                    "'format' of " + frame.Topic + " is '" + frame.Format + "', which this client cannot read: "
                    + "subscribe to jpeg." + frame.Topic.Substring(frame.Topic.IndexOf('.') + 1) + ".");
            }
            int wanted = frame.Width * frame.Height * (frame.Format == "bgr" ? 3 : 1);
            if (bytes != wanted)
            {
                throw new MessageException(frame.Topic + " has " + bytes + " bytes of pixels, not " + wanted + ".");
            }
        }
    }
}
