using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// What the groups of a loop do together towards the other nodes: they share frames, confirmation rounds, and the pace at which leadership
/// moves for balance.
/// </summary>
internal sealed class LoopPeers(SharedState node, ITransport transport)
{
    private readonly PeerOutbox[] _outboxes =
        [.. Enumerable.Range(1, node.Options.NodeNames.Count).Select(n => new PeerOutbox(new NodeId((uint)n), node, transport))];

    private long _nextTransferMs;

    public IReadOnlyList<PeerOutbox> Outboxes => _outboxes;

    public RoundHistory Rounds { get; } = new(node.Options.NodeNames.Count);

    /// <param name="to">Where the receiver of the message lives; None: nobody knows.</param>
    /// <param name="message">With the group's routing epoch and, for heartbeats, how far every voter's log reaches.</param>
    /// <param name="level">What the receiver has to know; of appends their entries say it.</param>
    public void Send(NodeId to, in PeerMessage message, ushort level)
    {
        if (!to.IsNone && to != node.Options.Self && to.Value <= _outboxes.Length)
        {
            _outboxes[to.Value - 1].Add(message, level, node.Clock.WallMs());
        }
    }

    /// <summary>Leadership moves for balance: a few a second, so that a whole node's worth never moves at once.</summary>
    public bool MayTransferLeadership(long nowMs)
    {
        if (nowMs < _nextTransferMs)
        {
            return false;
        }

        _nextTransferMs = nowMs + TransferIntervalMs;
        return true;
    }

    /// <summary>Between two transfers of leadership for balance.</summary>
    private const int TransferIntervalMs = 250;
}
