using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The replicas that are on this node. Replaced as a whole when one comes or goes, by the loop of its group; any thread reads.</summary>
internal sealed class ReplicaDirectory
{
    private IReadOnlyDictionary<uint, ReplicaReader> _replicas = new Dictionary<uint, ReplicaReader>();

    public int Count => All.Count;

    /// <summary>By group.</summary>
    public IReadOnlyDictionary<uint, ReplicaReader> All => Volatile.Read(ref _replicas);

    public IEnumerable<ReplicaReader> InOrder => All.Values.OrderBy(r => r.Address.Group);

    /// <summary>Null when the group has no replica here.</summary>
    public ReplicaReader? Of(GroupId group) => All.GetValueOrDefault(group.Value);

    public void Add(ReplicaReader replica) => Publish(replicas => replicas.Append(KeyValuePair.Create(replica.Address.Group.Value, replica)));

    /// <summary>From here on nobody finds the replica.</summary>
    public void Remove(ReplicaReader replica) => Publish(replicas => replicas.Where(r => r.Value != replica));

    private void Publish(Func<IReadOnlyDictionary<uint, ReplicaReader>, IEnumerable<KeyValuePair<uint, ReplicaReader>>> change)
    {
        IReadOnlyDictionary<uint, ReplicaReader> current = All;
        while (true)
        {
            IReadOnlyDictionary<uint, ReplicaReader> seen = Interlocked.CompareExchange(ref _replicas, change(current).ToDictionary(), current);
            if (ReferenceEquals(seen, current))
            {
                return;
            }

            current = seen;
        }
    }
}
