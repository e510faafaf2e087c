using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What the items of a batch are going to write, while it is not yet known whether the whole batch will: the table has no way
/// back from a write, so a batch is decided here first.
/// </summary>
internal sealed class BatchOverlay
{
    private readonly List<PendingWrite> _writes = [];
    private readonly Dictionary<ReadOnlyMemory<byte>, int> _lastWriteOf = new(new ByContent());

    /// <summary>Existed: the key did, when the item was reached. The stored value of a delete is empty.</summary>
    internal readonly record struct PendingWrite(Command Command, ulong Revision, bool Existed, ReadOnlyMemory<byte> StoredValue);

    /// <summary>In the order of the items.</summary>
    public IReadOnlyList<PendingWrite> Writes => _writes;

    public void Clear()
    {
        _writes.Clear();
        _lastWriteOf.Clear();
    }

    /// <param name="item">An item that will be written.</param>
    /// <param name="revision">Its revision.</param>
    /// <param name="existed">Whether its key existed when it was reached.</param>
    /// <param name="counter">The new stored value of an increment; copied.</param>
    public void Add(in Command item, ulong revision, bool existed, ReadOnlySpan<byte> counter)
    {
        ReadOnlyMemory<byte> stored = item.Operation == KvOperation.Increment ? counter.ToArray() : item.StoredValue;
        _lastWriteOf[item.Key] = _writes.Count;
        _writes.Add(new PendingWrite(item, revision, existed, stored));
    }

    public bool TryGet(ReadOnlyMemory<byte> key, out PendingWrite write)
    {
        bool found = _lastWriteOf.TryGetValue(key, out int index);
        write = found ? _writes[index] : default;
        return found;
    }

    // Only looked up, never walked, so its order is nobody's business.
    private sealed class ByContent : IEqualityComparer<ReadOnlyMemory<byte>>
    {
        public bool Equals(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceEqual(y.Span);

        public int GetHashCode(ReadOnlyMemory<byte> key)
        {
            var hash = new StableHash();
            hash.Add(key.Span);
            return (int)hash.Value;
        }
    }
}
