using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>
/// Ids for the writes of one client with many requests in flight. What it adds to a counter is AckedBelow: the servers forget
/// the records of everything below it, so it may only pass a sequence that will never be sent again.
/// </summary>
internal sealed class RequestIdSource(UInt128 client)
{
    private readonly Lock _gate = new();
    private readonly SortedSet<ulong> _open = [];
    private ulong _last;

    public static RequestIdSource Random(Random random)
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        return new RequestIdSource(System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes));
    }

    public RequestId Begin()
    {
        lock (_gate)
        {
            _open.Add(++_last);
            return new RequestId(client, _last, (ulong)DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), _open.Min);
        }
    }

    /// <summary>The request has its answer, or will not be sent again whatever became of it.</summary>
    public void End(RequestId id)
    {
        lock (_gate)
        {
            _open.Remove(id.Sequence);
        }
    }
}
