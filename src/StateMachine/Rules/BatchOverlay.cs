using KvStore.Protocol;

namespace KvStore.StateMachine;

/// <summary>
/// What the items of a batch are going to write, while it is not yet known whether the whole batch will: the table has no way
/// back from a write, so a batch is decided here first.
/// </summary>
internal sealed class BatchOverlay
{
    private readonly List<PendingWrite> _writes = [];
    private readonly Dictionary<ReadOnlyMemory<byte>, int> _lastWriteOf = new(new ByContent());

    /// <summary>Existed: the key did, when the item was reached. The stored value of a removal is empty.</summary>
    internal readonly record struct PendingWrite(
        int Item, ReadOnlyMemory<byte> Key, ulong Revision, bool Existed, KeyChange Change, ReadOnlyMemory<byte> Stored)
    {
        /// <summary>The key, as the items behind this one find it.</summary>
        public KeyState AsState() => new(Change == KeyChange.Put, Revision, Stored.Span);
    }

    /// <summary>In the order of the items.</summary>
    public IReadOnlyList<PendingWrite> Writes => _writes;

    /// <param name="write">An item that will be written.</param>
    /// <param name="item">Its place in the batch.</param>
    /// <param name="revision">Its revision.</param>
    /// <param name="existed">Whether its key existed when it was reached.</param>
    /// <param name="effect">What it writes; copied, for the next item's may take its place.</param>
    public void Add(KeyWrite write, int item, ulong revision, bool existed, Effect effect)
    {
        _lastWriteOf[write.Key] = _writes.Count;
        _writes.Add(new PendingWrite(item, write.Key, revision, existed, effect.Change, effect.Stored.ToArray()));
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
