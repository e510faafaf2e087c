namespace KvStore.Raft;

/// <summary>
/// One incarnation of one replica of one group. Never reused: a replica that is re-created gets a new id. Zero means nobody.
/// </summary>
public readonly record struct ReplicaId(ulong Value) : IComparable<ReplicaId>
{
    public static readonly ReplicaId None;

    public bool IsNone => Value == 0;

    public int CompareTo(ReplicaId other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}
