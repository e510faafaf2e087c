using System.Buffers;

namespace KvStore.Client;

/// <summary>Values of one type to bytes and back. Safe for any number of threads.</summary>
public interface IKvSerializer<T>
{
    /// <summary>Stored beside the value; null is application/octet-stream.</summary>
    string? ContentType { get; }

    void Serialize(T value, IBufferWriter<byte> output);

    /// <exception cref="FormatException">The bytes are no value of this type; other exceptions pass through as they are.</exception>
    T Deserialize(ReadOnlySpan<byte> bytes);
}
