using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The replicas that are on this node. Replaced as a whole when one comes or goes, by the loop of its group; any thread reads.</summary>
internal sealed class ReplicaDirectory
{
    private IReadOnlyDictionary<uint, Replica> _replicas = new Dictionary<uint, Replica>();

    public int Count => All.Count;

    /// <summary>By group.</summary>
    public IReadOnlyDictionary<uint, Replica> All => Volatile.Read(ref _replicas);

    public IEnumerable<Replica> InOrder => All.Values.OrderBy(r => r.Group);

    /// <summary>Null when the group has no replica here.</summary>
    public Replica? Of(GroupId group) => All.GetValueOrDefault(group.Value);

    public void Add(Replica replica) => Publish(replicas => replicas.Append(KeyValuePair.Create(replica.Group.Value, replica)));

    /// <summary>From here on nobody finds the replica.</summary>
    public void Remove(Replica replica) => Publish(replicas => replicas.Where(r => r.Value != replica));

    private void Publish(Func<IReadOnlyDictionary<uint, Replica>, IEnumerable<KeyValuePair<uint, Replica>>> change)
    {
        IReadOnlyDictionary<uint, Replica> current = All;
        while (true)
        {
            IReadOnlyDictionary<uint, Replica> seen = Interlocked.CompareExchange(ref _replicas, change(current).ToDictionary(), current);
            if (ReferenceEquals(seen, current))
            {
                return;
            }

            current = seen;
        }
    }
}
