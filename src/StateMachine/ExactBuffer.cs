using System.Buffers;

namespace KvStore.StateMachine;

/// <summary>
/// Receives one table read: the table asks for a span of exactly the value's length, so the array it fills is the one the
/// reply keeps. A read that has to start again asks again and the first array is garbage.
/// </summary>
public sealed class ExactBuffer : IBufferWriter<byte>
{
    private byte[] _bytes = [];
    private int _written;

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, _written);

    public void Advance(int count) => _written = count;

    public Memory<byte> GetMemory(int sizeHint = 0) => Take(sizeHint);

    public Span<byte> GetSpan(int sizeHint = 0) => Take(sizeHint);

    private byte[] Take(int size)
    {
        _written = 0;
        _bytes = GC.AllocateUninitializedArray<byte>(size);
        return _bytes;
    }
}
