namespace KvStore.Storage;

/// <summary>
/// The keys that part the children of a directory, never changed. Child i covers the keys from separator i - 1, inclusive, to
/// separator i, exclusive; the first and the last child reach as far as the directory does.
/// </summary>
internal readonly struct Separators
{
    private readonly byte[][] _keys;
    private readonly ulong[] _words;
    private readonly int _skip;

    public Separators(byte[][] keys)
    {
        _keys = keys;
        _words = new ulong[keys.Length];
        if (keys.Length > 0)
        {
            _skip = keys[0].AsSpan().CommonPrefixLength(keys[^1]);
            for (int i = 0; i < keys.Length; i++)
            {
                _words[i] = Leaf.WordOf(keys[i], _skip);
            }
        }
    }

    public byte[] this[int separator] => _keys[separator];

    /// <summary>The child that covers a key.</summary>
    public int IndexOf(ReadOnlySpan<byte> key)
    {
        if (_keys.Length == 0)
        {
            return 0;
        }

        // Unlike in a leaf, the prefix must be checked: a wrong turn here is not noticed later.
        int common = _keys[0].AsSpan(0, _skip).CommonPrefixLength(key);
        if (common < _skip)
        {
            return common == key.Length || key[common] < _keys[0][common] ? 0 : _keys.Length;
        }

        ulong word = Leaf.WordOf(key, _skip);
        int low = 0;
        int high = _keys.Length;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            int order = _words[middle].CompareTo(word);
            if (order == 0)
            {
                order = _keys[middle].AsSpan().SequenceCompareTo(key);
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

    /// <summary>One more, between the two halves of a child that was split.</summary>
    public Separators With(int child, byte[] separator) => new([.. _keys.AsSpan(0, child), separator, .. _keys.AsSpan(child)]);

    /// <summary>A child is gone; a neighbour takes over what it covered.</summary>
    public Separators Without(int child)
    {
        int separator = Math.Max(child - 1, 0);
        return new Separators([.. _keys.AsSpan(0, separator), .. _keys.AsSpan(separator + 1)]);
    }

    public Separators Slice(int first, int count) => new(_keys.AsSpan(first, count).ToArray());

    /// <summary>The shortest key that is above the last key of a leaf and not above the first of the next.</summary>
    public static byte[] Between(ReadOnlySpan<byte> last, ReadOnlySpan<byte> first) =>
        first[..(last.CommonPrefixLength(first) + 1)].ToArray();
}
