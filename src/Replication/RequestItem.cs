using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>A request on its way through one loop: what was asked, who waits, and what is known about what became of it.</summary>
internal sealed class RequestItem(KvRequest request, IReplySink sink, GroupId group, int virtualNode, long deadlineMs, Admission admission) : LoopItem
{
    private bool _completed;

    public KvRequest Request => request;

    /// <summary>Of the request; a write that came without one has one once its loop has seen it.</summary>
    public RequestId? Id { get; private set; } = request.Id;

    public RequestSource? Source => sink.Source;

    public GroupId Group => group;
    public int VirtualNode => virtualNode;

    /// <summary>On the node's elapsed clock, milliseconds.</summary>
    public long DeadlineMs => deadlineMs;

    /// <summary>The one attempt to have another node answer it that is under way.</summary>
    public ForwardReturn? Attempt { get; private set; }

    /// <summary>Its place in its route's list of what other nodes were asked; -1 when it is not in it.</summary>
    public int UnderWayAt { get; set; } = -1;

    /// <summary>In an entry that this replica proposed and has not lost sight of.</summary>
    public bool IsInLog { get; set; }

    /// <summary>
    /// Attempts of a write that ended without a result: their copies, on their way to another node or in an entry this replica lost
    /// sight of, may have executed or do so yet, whatever becomes of later ones.
    /// </summary>
    public int UnknownAttempts { get; set; }

    /// <summary>
    /// A write that was handed to a core or to another node, and no proof has come back that it was not applied. From here on a failure is
    /// <see cref="ErrorCode.Indeterminate"/>, never "not applied".
    /// </summary>
    public bool MayHaveApplied => request.IsWrite && (IsInLog || UnknownAttempts > 0 || Attempt is not null);

    /// <summary>Attempts in a row that came to nothing; news of a leader begins at 0 again.</summary>
    public int Fruitless { get; set; }

    /// <summary>While it waits: not to be tried again before, on the node's elapsed clock, unless there is news.</summary>
    public long PauseUntilMs { get; set; }

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

    /// <summary>The sequence this loop gave it; 0 when the caller brought an id, and when it has been answered.</summary>
    public ulong OwnSequence { get; set; }

    /// <summary>Its id was given by this loop: the caller has never heard of it.</summary>
    public bool HasOwnId { get; private set; }

    public bool IsCompleted => _completed;

    /// <summary>Of a write it does not matter: it is what it is.</summary>
    public bool IsUnwantedRead => !request.IsWrite && sink.IsUnwanted;

    public void AssignId(RequestId id) => (Id, OwnSequence, HasOwnId) = (id, id.Sequence, true);

    public void BeginAttempt(ForwardReturn attempt) => Attempt = attempt;

    /// <summary>False: it was given up before.</summary>
    public bool EndAttempt(ForwardReturn attempt)
    {
        if (!ReferenceEquals(attempt, Attempt))
        {
            return false;
        }

        Attempt = null;
        return true;
    }

    /// <summary>Nobody waits for the attempt under way any more. It may be answered all the same.</summary>
    public void GiveUpAttempt()
    {
        UnknownAttempts += request.IsWrite && Attempt is not null ? 1 : 0;
        Attempt = null;
    }

    public void Complete(KvReply reply)
    {
        if (_completed)
        {
            return;
        }

        _completed = true;
        admission.End(Request, sink.Source);
        sink.Complete(reply);
    }
}
