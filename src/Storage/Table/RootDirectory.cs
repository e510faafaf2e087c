namespace KvStore.Storage;

/// <summary>
/// The upper level of a tree: which <see cref="LeafDirectory"/> covers which keys. Like that one it never changes its shape;
/// a directory that was split or emptied makes a new root, any other new directory takes its place here.
/// </summary>
/// <remarks>
/// A split leaf costs a copy of one directory, whatever the size of the tree; the root is copied once in some thousand
/// inserts. With one level over the leaves each split copied a reference for every leaf there was.
/// </remarks>
internal sealed class RootDirectory(LeafDirectory[] directories, Separators separators)
{
    public int Count => directories.Length;

    /// <summary>An acquire load: who sees the directory sees its arrays and the blocks in them.</summary>
    public LeafDirectory this[int directory] => Volatile.Read(ref directories[directory]);

    /// <summary>The first key that belongs to the next directory.</summary>
    public byte[] UpperBound(int directory) => separators[directory];

    public int IndexOf(ReadOnlySpan<byte> key) => separators.IndexOf(key);

    /// <summary>A release store: who sees the directory sees what is in it.</summary>
    public void Replace(int directory, LeafDirectory replacement) => Volatile.Write(ref directories[directory], replacement);

    public RootDirectory WithSplit(int directory, LeafDirectory left, byte[] separator, LeafDirectory right) => new(
        [.. directories.AsSpan(0, directory), left, right, .. directories.AsSpan(directory + 1)],
        separators.With(directory, separator));

    /// <summary>A neighbour takes over what the directory covered.</summary>
    public RootDirectory Without(int directory) => new(
        [.. directories.AsSpan(0, directory), .. directories.AsSpan(directory + 1)],
        separators.Without(directory));

    /// <summary>Directories over leaves in key order, each holding at most so many of them.</summary>
    public static RootDirectory Over(ReadOnlySpan<ulong[]> leaves, ReadOnlySpan<byte[]> separators, int leavesPerDirectory)
    {
        int count = (leaves.Length + leavesPerDirectory - 1) / leavesPerDirectory;
        var directories = new LeafDirectory[count];
        var between = new byte[count - 1][];
        for (int i = 0; i < count; i++)
        {
            int first = i * leavesPerDirectory;
            int length = Math.Min(leavesPerDirectory, leaves.Length - first);
            directories[i] = new LeafDirectory(
                leaves.Slice(first, length).ToArray(), new Separators(separators.Slice(first, length - 1).ToArray()));
            if (i > 0)
            {
                between[i - 1] = separators[first - 1];
            }
        }

        return new RootDirectory(directories, new Separators(between));
    }
}

/// <summary>A walk over the leaves of one root, in key order. What splits meanwhile is not followed: seek again after a stale leaf.</summary>
internal ref struct LeafCursor
{
    private readonly RootDirectory _root;
    private int _index;
    private int _leaf;
    private LeafDirectory _directory;

    public LeafCursor(RootDirectory root, ReadOnlySpan<byte> key)
    {
        _root = root;
        _index = root.IndexOf(key);
        _directory = root[_index];
        _leaf = _directory.IndexOf(key);
    }

    public readonly Leaf Leaf => _directory[_leaf];

    /// <summary>The first key that is no longer the leaf's; null: it is the last leaf.</summary>
    public readonly byte[]? UpperBound =>
        _leaf < _directory.Count - 1 ? _directory.UpperBound(_leaf)
        : _index < _root.Count - 1 ? _root.UpperBound(_index)
        : null;

    /// <summary>To the next leaf; there must be one.</summary>
    public void MoveNext()
    {
        if (++_leaf == _directory.Count)
        {
            _directory = _root[++_index];
            _leaf = 0;
        }
    }
}
