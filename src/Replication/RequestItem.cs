using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>A request on its way through one loop: what was asked, who waits, and what is known about what became of it.</summary>
internal sealed class RequestItem(KvRequest request, IReplySink sink, GroupId group, int virtualNode, long deadlineMs, StoreNode node) : InboxItem
{
    private bool _completed;

    public KvRequest Request => request;

    /// <summary>Of the request; a write that came without one has one once its loop has seen it.</summary>
    public RequestId? Id { get; private set; } = request.Id;

    public GroupId Group => group;
    public int VirtualNode => virtualNode;

    /// <summary>On the node's elapsed clock, milliseconds.</summary>
    public long DeadlineMs => deadlineMs;

    /// <summary>
    /// Handed to a core or to another node, and no proof has come back that it was not applied. From here on a failure is
    /// <see cref="ErrorCode.Indeterminate"/>, never "not applied".
    /// </summary>
    public bool MayHaveApplied { get; set; }

    /// <summary>
    /// An attempt ended without a result: its copy, on its way to another node or in an entry this replica lost sight of, may have
    /// executed or do so yet, whatever becomes of later ones.
    /// </summary>
    public bool AttemptVanished { get; set; }

    /// <summary>A read of level session that is served as soon as its index is applied, whatever else it waits for.</summary>
    public bool WaitsForSession { get; set; }

    /// <summary>A read that this replica could not answer in time is with the leader's node as well.</summary>
    public bool WasHandedOn { get; set; }

    /// <summary>It holds one of the places for reads whose level could not be proved at once.</summary>
    public bool HoldsUnmetPlace { get; set; }

    /// <summary>
    /// The write is to be refused like this, once it is proved that nothing is known of an earlier copy of it; null when it is not.
    /// </summary>
    public KvReply? Refusal { get; set; }

    /// <summary>The sequence this loop gave it; 0 when the caller brought an id.</summary>
    public ulong OwnSequence { get; set; }

    public bool IsCompleted => _completed;

    /// <summary>Of a write it does not matter: it is what it is.</summary>
    public bool IsUnwantedRead => !request.IsWrite && sink.IsUnwanted;

    public void AssignId(RequestId id) => (Id, OwnSequence) = (id, id.Sequence);

    public void Complete(KvReply reply)
    {
        if (_completed)
        {
            return;
        }

        _completed = true;
        node.RequestEnded(Request);
        sink.Complete(reply);
    }
}
