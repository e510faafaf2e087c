namespace KvStore.Storage;

/// <summary>
/// The upper level of a tree: which leaf covers which keys. Its shape never changes; a split or an emptied leaf makes a new
/// directory, any other new leaf block takes its place here.
/// </summary>
internal sealed class LeafDirectory
{
    // Invariant: leaf i covers the keys from _separators[i - 1], inclusive, to _separators[i], exclusive.
    private readonly ulong[][] _leaves;
    private readonly byte[][] _separators;
    private readonly ulong[] _words;
    private readonly int _skip;

    public LeafDirectory(ulong[][] leaves, byte[][] separators)
    {
        _leaves = leaves;
        _separators = separators;
        _words = new ulong[separators.Length];
        if (separators.Length > 0)
        {
            _skip = separators[0].AsSpan().CommonPrefixLength(separators[^1]);
            for (int i = 0; i < separators.Length; i++)
            {
                _words[i] = Leaf.WordOf(separators[i], _skip);
            }
        }
    }

    public int Count => _leaves.Length;

    public Leaf this[int leaf] => new(Volatile.Read(ref _leaves[leaf]));

    /// <summary>The first key that belongs to the next leaf.</summary>
    public byte[] UpperBound(int leaf) => _separators[leaf];

    /// <summary>A release store: who sees the block sees what is in it.</summary>
    public void Replace(int leaf, Leaf block) => Volatile.Write(ref _leaves[leaf], block.Block);

    public int IndexOf(ReadOnlySpan<byte> key)
    {
        if (_separators.Length == 0)
        {
            return 0;
        }

        // Unlike in a leaf, the prefix must be checked: a wrong turn here is not noticed later.
        int common = _separators[0].AsSpan(0, _skip).CommonPrefixLength(key);
        if (common < _skip)
        {
            return common == key.Length || key[common] < _separators[0][common] ? 0 : _separators.Length;
        }

        ulong word = Leaf.WordOf(key, _skip);
        int low = 0;
        int high = _separators.Length;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            int order = _words[middle].CompareTo(word);
            if (order == 0)
            {
                order = _separators[middle].AsSpan().SequenceCompareTo(key);
            }

            if (order <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    public LeafDirectory WithSplit(int leaf, Leaf left, byte[] separator, Leaf right) => new(
        [.. _leaves.AsSpan(0, leaf), left.Block, right.Block, .. _leaves.AsSpan(leaf + 1)],
        [.. _separators.AsSpan(0, leaf), separator, .. _separators.AsSpan(leaf)]);

    /// <summary>A neighbour takes over what the leaf covered.</summary>
    public LeafDirectory Without(int leaf)
    {
        int separator = Math.Max(leaf - 1, 0);
        return new LeafDirectory(
            [.. _leaves.AsSpan(0, leaf), .. _leaves.AsSpan(leaf + 1)],
            [.. _separators.AsSpan(0, separator), .. _separators.AsSpan(separator + 1)]);
    }

    /// <summary>The shortest key that is above the last key of a leaf and not above the first of the next.</summary>
    public static byte[] Separator(ReadOnlySpan<byte> last, ReadOnlySpan<byte> first) =>
        first[..(last.CommonPrefixLength(first) + 1)].ToArray();
}
