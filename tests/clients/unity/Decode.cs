// Decode.exe FILE...: reads test vectors and prints the values of each as one line of JSON.
// Decode.exe --mutate COUNT FILE: reads so many damaged copies of a vector; prints how many were refused.
// Decode.exe --key FILE: reads a key file and prints its keys as hexadecimal numbers.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using Unvisor;

public static class Decode
{
    public static void Main(string[] paths)
    {
        if (paths[0] == "--key")
        {
            KeyFile keys = KeyFile.Parse(File.ReadAllText(paths[1]));
            foreach (byte[] key in new[] { keys.Server, keys.Public, keys.Secret })
            {
                Console.WriteLine(BitConverter.ToString(key).Replace("-", "").ToLowerInvariant());
            }
            return;
        }
        if (paths[0] == "--mutate")
        {
            Console.WriteLine(Mutate(Unframed(File.ReadAllBytes(paths[2])), int.Parse(paths[1])));
            return;
        }
        foreach (string path in paths)
        {
            try
            {
                Console.WriteLine("{" + Values(Decoder.Decode(Unframed(File.ReadAllBytes(path)))) + "}");
            }
            catch (MessageException error)
            {
                Console.WriteLine("{\"kind\":\"error\",\"message\":" + Quoted(error.Message) + "}");
            }
        }
    }

    // Changes, cuts, repeats or drops something in a copy of the parts. Only MessageException may come of it.
    private static int Mutate(List<byte[]> parts, int count)
    {
        var random = new Random(7);
        int refused = 0;
        for (int i = 0; i < count; i++)
        {
            var damaged = new List<byte[]>(parts);
            for (int changes = random.Next(1, 5); changes > 0; changes--)
            {
                int which = random.Next(damaged.Count);
                var part = new List<byte>(damaged[which]);
                if (part.Count == 0) continue;
                int place = random.Next(part.Count);
                switch (random.Next(5))
                {
                    case 0: part[place] = (byte)random.Next(256); break;
                    case 1: part[place] = (byte)random.Next(0xc0, 0x100); break; // another type
                    case 2: part.RemoveRange(place, part.Count - place); break;
                    case 3: part.InsertRange(place, part.Skip(place).Take(random.Next(16)).ToList()); break;
                    default: part.RemoveAt(place); break;
                }
                damaged[which] = part.ToArray();
            }
            if (random.Next(50) == 0) damaged.RemoveAt(damaged.Count - 1);
            try
            {
                Decoder.Decode(damaged);
            }
            catch (MessageException)
            {
                refused++;
            }
        }
        return refused;
    }

    private static List<byte[]> Unframed(byte[] content)
    {
        var parts = new List<byte[]>();
        for (int place = 0; place < content.Length;)
        {
            int length = (int)BitConverter.ToUInt32(content, place);
            parts.Add(content.Skip(place + 4).Take(length).ToArray());
            place += 4 + length;
        }
        return parts;
    }

    private static string Values(Message message)
    {
        var word = message as Notification;
        if (word != null) return Pair("kind", "notification") + "," + Pair("topic", word.Topic) + "," + Pair("subject", word.Subject);
        var frame = message as Frame;
        return Captured((CapturedMessage)message) + "," + (frame != null ? Values(frame) : Values((FaceState)message));
    }

    private static string Captured(CapturedMessage message)
    {
        return Pair("topic", message.Topic) + ",\"index\":" + message.Index + ",\"timestamp\":" + Number(message.Timestamp)
            + ",\"capture_time_ns\":" + message.CaptureTimeNs + ",\"publish_time_ns\":" + message.PublishTimeNs
            + ",\"status\":" + List(message.Status, Quoted) + "," + Pair("filler", message.Filler);
    }

    private static string Values(Frame frame)
    {
        string values = Pair("kind", "frame") + ",\"width\":" + frame.Width + ",\"height\":" + frame.Height + ","
            + Pair("format", frame.Format) + "," + Pair("landmarks", frame.LandmarkSource) + ",\"synthesised\":"
            + (frame.Synthesised ? "true" : "false") + ",\"pixel_bytes\":" + frame.Pixels.Length + ",\"pixel_sum\":"
            + frame.Pixels.Sum(b => (long)b);
        return frame.Format == "jpeg" ? values : values + ",\"rgba\":" + List(frame.ToRgba32FromBottom(), b => b.ToString());
    }

    private static string Values(FaceState state)
    {
        string values = Pair("kind", "face_state") + ",\"landmarks\":" + List(state.Landmarks, f => Number(f)) + ",\"gaze\":"
            + List(state.Gaze, f => Number(f)) + ",\"openness\":" + List(state.Openness, f => Number(f)) + ",\"eye_ages_ns\":"
            + List(state.EyeAgesNs, age => age.HasValue ? age.Value.ToString() : "null") + ",\"frame_from_crop\":"
            + List(state.FrameFromCrop, f => Number(f)) + "," + Pair("landmark_source", state.LandmarkSource)
            + ",\"synthesised\":" + (state.Synthesised ? "true" : "false");
        return state.VideoDelayMs.HasValue ? values + ",\"video_delay_ms\":" + Number(state.VideoDelayMs.Value) : values;
    }

    private static string List<T>(IEnumerable<T> items, Func<T, string> write)
    {
        return "[" + string.Join(",", items.Select(write).ToArray()) + "]";
    }

    private static string Number(double value)
    {
        return value.ToString("R", CultureInfo.InvariantCulture);
    }

    private static string Pair(string key, string value)
    {
        return Quoted(key) + ":" + Quoted(value);
    }

    private static string Quoted(string text)
    {
        return "\"" + text.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"";
    }
}
