namespace KvStore.Storage;

/// <summary>
/// How wide the nodes of a tree grow before they are split. Tests make them narrow, so that a few dozen keys need all three levels.
/// </summary>
/// <param name="PairsPerLeaf">2 to <see cref="Leaf.MaxPairs"/>.</param>
/// <param name="LeavesPerDirectory">2 or more.</param>
internal readonly record struct TreeShape(int PairsPerLeaf, int LeavesPerDirectory)
{
    public static TreeShape Default => new(Leaf.MaxPairs, LeafDirectory.MaxLeaves);

    /// <summary>A tree that is built is not full: the first inserts after a restart should not split every leaf they meet.</summary>
    public TreeShape AsBuilt => new(Math.Max(1, PairsPerLeaf * 7 / 8), Math.Max(1, LeavesPerDirectory * 7 / 8));
}
