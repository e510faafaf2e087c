using System.Buffers;

namespace KvStore.Protocol;

/// <summary>
/// Builds bodies: into a buffer of the thread's own, then into an array of exactly the body's size, which lives on in requests,
/// entries and tables.
/// </summary>
internal static class BodyWriter
{
    /// <summary>Bytes a thread keeps between two bodies; a larger buffer is given back.</summary>
    private const int MaxKeptBytes = 64 * 1024;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _scratch;

    /// <summary>The fields that every write of one key begins with. The writer must be ended by <see cref="End"/>.</summary>
    public static MessagePackWriter Begin(int fields, ReadOnlySpan<byte> key, KvCondition condition)
    {
        MessagePackWriter writer = Begin(fields);
        writer.Write(key);
        writer.Write((uint)condition.Kind);
        writer.Write(condition.Revision);
        return writer;
    }

    public static MessagePackWriter Begin(int fields)
    {
        // Nothing else runs on this thread between Begin and End, so one buffer is enough.
        ArrayBufferWriter<byte> scratch = _scratch ??= new ArrayBufferWriter<byte>(1024);
        scratch.ResetWrittenCount();
        var writer = new MessagePackWriter(scratch);
        writer.WriteArrayHeader(fields);
        return writer;
    }

    /// <summary>The key in a body that begins with it: behind the array header of at most 15 fields and the header of the key.</summary>
    public static ReadOnlyMemory<byte> KeyIn(byte[] body, int keyBytes) => body.AsMemory(1 + (keyBytes <= byte.MaxValue ? 2 : keyBytes <= ushort.MaxValue ? 3 : 5), keyBytes);

    public static byte[] End(ref MessagePackWriter writer)
    {
        writer.Flush();
        ArrayBufferWriter<byte> scratch = _scratch!;
        byte[] body = scratch.WrittenSpan.ToArray();
        if (scratch.Capacity > MaxKeptBytes)
        {
            _scratch = null;
        }

        return body;
    }
}
