using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// Requests that are with other nodes, for each node: places of which every source of requests gets its share. A node that does not answer
/// holds up those who ask it, and them only up to that share. Any thread.
/// </summary>
internal sealed class ForwardPlaces(int nodes, int limit)
{
    private readonly int[] _taken = new int[nodes];

    /// <summary>False: there is none, or none for this source; nothing is taken then.</summary>
    public bool TryTake(NodeId to, RequestSource? source)
    {
        int taken = Interlocked.Increment(ref _taken[(int)to.Value - 1]);
        int own = source?.CountForwarded(1) ?? 1;
        if (taken <= limit && (own == 1 || FairShare.Allows(limit, taken, own)))
        {
            return true;
        }

        GiveBack(to, source);
        return false;
    }

    public void GiveBack(NodeId to, RequestSource? source)
    {
        Interlocked.Decrement(ref _taken[(int)to.Value - 1]);
        source?.CountForwarded(-1);
    }
}
