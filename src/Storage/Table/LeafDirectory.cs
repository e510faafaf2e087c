namespace KvStore.Storage;

/// <summary>
/// The middle level of a tree: which leaf covers which keys of one stretch. Its shape never changes; a split or an emptied
/// leaf makes a new directory, any other new leaf block takes its place here.
/// </summary>
internal sealed class LeafDirectory(ulong[][] leaves, Separators separators)
{
    /// <summary>
    /// Leaves of a directory, unless a test says otherwise. A split copies the directory: 24 bytes for each leaf, 3 KiB at most,
    /// once in about 32 inserts, which is less than the leaf copies of the same inserts.
    /// </summary>
    public const int MaxLeaves = 128;

    public int Count => leaves.Length;

    public Leaf this[int leaf] => new(Volatile.Read(ref leaves[leaf]));

    /// <summary>The first key that belongs to the next leaf of this directory.</summary>
    public byte[] UpperBound(int leaf) => separators[leaf];

    public int IndexOf(ReadOnlySpan<byte> key) => separators.IndexOf(key);

    /// <summary>A release store: who sees the block sees what is in it.</summary>
    public void Replace(int leaf, Leaf block) => Volatile.Write(ref leaves[leaf], block.Block);

    public LeafDirectory WithSplit(int leaf, Leaf left, byte[] separator, Leaf right) => new(
        [.. leaves.AsSpan(0, leaf), left.Block, right.Block, .. leaves.AsSpan(leaf + 1)],
        separators.With(leaf, separator));

    /// <summary>A neighbour takes over what the leaf covered.</summary>
    public LeafDirectory Without(int leaf) => new(
        [.. leaves.AsSpan(0, leaf), .. leaves.AsSpan(leaf + 1)],
        separators.Without(leaf));

    /// <summary>The leaves from one on, without its separator from the leaf before.</summary>
    public LeafDirectory Slice(int first, int count) => new(
        leaves.AsSpan(first, count).ToArray(),
        separators.Slice(first, count - 1));
}
