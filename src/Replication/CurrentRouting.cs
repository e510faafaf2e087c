using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The newest word on where replicas live. Any thread.</summary>
internal sealed class CurrentRouting(RoutingTable first)
{
    private RoutingTable _table = first;

    public RoutingTable Table => Volatile.Read(ref _table);

    /// <summary>False: it is not newer than the one in force, and changes nothing.</summary>
    public bool TryReplace(RoutingTable newer)
    {
        RoutingTable current = Table;
        while (newer.Epoch > current.Epoch)
        {
            RoutingTable seen = Interlocked.CompareExchange(ref _table, newer, current);
            if (ReferenceEquals(seen, current))
            {
                return true;
            }

            current = seen;
        }

        return false;
    }
}
