namespace KvStore.Protocol;

/// <summary>A Raft group. 0 is reserved for the meta group; data groups are 1…N.</summary>
public readonly record struct GroupId(uint Value) : IComparable<GroupId>
{
    public int CompareTo(GroupId other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}

/// <summary>A node: 1 + its position in the sorted list of names at bootstrap, never reused. 0 means nobody.</summary>
public readonly record struct NodeId(uint Value) : IComparable<NodeId>
{
    public static readonly NodeId None;

    public bool IsNone => Value == 0;

    public int CompareTo(NodeId other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}
