using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>What a node does with a read.</summary>
public enum ReadStep : byte
{
    /// <summary>Answers now from its own replica, as an eventual read where the level is not proved and the reader does not mind.</summary>
    Serve,

    /// <summary>Waits without asking anybody else: for a round of its own, for entries that are on their way, or for a leader.</summary>
    Wait,

    /// <summary>Asks the leader for a fresh proof and then answers itself.</summary>
    Ask,

    /// <summary>Passes it on to a node that has a replica.</summary>
    Forward,

    /// <summary>Refuses: TooStale, SessionTokenInvalid, or WrongNode where it may not be passed on.</summary>
    Fail,
}

/// <summary>What is known where a read has come to. The default knows nothing and has no replica.</summary>
public readonly record struct ReadStanding()
{
    /// <summary>The node has a replica of the group, with at least one entry applied.</summary>
    public bool HasReplica { get; init; }

    /// <summary>That replica takes itself for the leader.</summary>
    public bool Leads { get; init; }

    /// <summary>The replica knows who leads, itself included.</summary>
    public bool LeaderIsKnown { get; init; }

    /// <summary>The leader's word, given after the read came, covers what the replica shows.</summary>
    public bool IsProved { get; init; }

    /// <summary>Upper bound on the age of what the replica shows, milliseconds.</summary>
    public uint AgeMs { get; init; } = Evidence.AgeUnknown;

    /// <summary>Null: not asked for, or no proof of it.</summary>
    public ReplicaLag? Lag { get; init; }

    /// <summary>Index of the last entry it shows.</summary>
    public ulong Applied { get; init; }

    /// <summary>Of the group; 0 before its first entry.</summary>
    public uint History { get; init; }

    /// <summary>What a replica's answer to <see cref="ReadRule.Question"/> says of it.</summary>
    /// <param name="told">Without evidence it is one that has nothing to show yet, or cannot say.</param>
    /// <param name="leaderIsKnown">To that replica, as far as its node says.</param>
    public static ReadStanding Of(KvReply? told, bool leaderIsKnown) => told is { Evidence: { } evidence }
        ? new ReadStanding
        {
            HasReplica = true,
            Leads = evidence.Role == ServedRole.Leader,
            LeaderIsKnown = leaderIsKnown,
            AgeMs = evidence.AgeMs,
            Lag = told.Lag,
            Applied = evidence.Applied,
            History = told.History,
        }
        : default(ReadStanding) with { AgeMs = Evidence.AgeUnknown };
}

/// <summary>
/// What becomes of a read, by its terms and by what is known, and by nothing else: reads and the explanation of reads both ask here, so
/// one cannot say what the other does not do.
/// </summary>
public static class ReadRule
{
    /// <summary>The token is of a group that was restored or begun anew since.</summary>
    public static bool IsOfAnotherHistory(SessionPoint session, uint history) =>
        !session.IsNone && history != 0 && session.History != history;

    /// <summary>Whether what the replica shows has the level that the read asks for.</summary>
    public static bool Meets(ReadTerms terms, SessionPoint session, in ReadStanding standing) =>
        standing.HasReplica && !IsOfAnotherHistory(session, standing.History) && terms.Level switch
        {
            ReadLevel.Strong => standing.IsProved,
            ReadLevel.Bounded => IsYoungEnough(terms, standing.AgeMs) && IsNearEnough(terms, standing.Lag),
            ReadLevel.Session => standing.Applied >= session.Applied,
            _ => true,
        };

    /// <summary>What a replica does with a read whose level it cannot prove.</summary>
    /// <param name="terms">Of the read.</param>
    /// <param name="leads">The replica does.</param>
    /// <param name="leaderIsKnown">To the replica.</param>
    public static ReadStep WhenUnmet(ReadTerms terms, bool leads, bool leaderIsKnown) => terms switch
    {
        // Who leads can prove it in one round, so a strong read is served without proof only where nobody could give one.
        { Level: ReadLevel.Strong, OnUnmet: OnUnmet.Serve } when !leaderIsKnown => ReadStep.Serve,
        { Level: ReadLevel.Strong, OnUnmet: OnUnmet.Fail } when !leads => ReadStep.Fail,
        { Level: ReadLevel.Strong } => ProofFrom(leads, leaderIsKnown),

        { Level: ReadLevel.Eventual } or { OnUnmet: OnUnmet.Serve } => ReadStep.Serve,

        // What the session has seen is on its way here, so there is something to wait for although nobody may be asked.
        { Level: ReadLevel.Session, OnUnmet: OnUnmet.Fail } => ReadStep.Wait,
        { OnUnmet: OnUnmet.Fail } => ReadStep.Fail,
        _ => ProofFrom(leads, leaderIsKnown),
    };

    /// <summary>
    /// What to ask a replica to learn its <see cref="ReadStanding"/>: an eventual read tells all but the lag; that is told to a bounded one,
    /// which is answered all the same when it does not hold. Nobody else is asked for it.
    /// </summary>
    public static KvRequest Question(KvRequest read) => read with
    {
        Read = new ReadTerms
        {
            Level = read.Read.MaxLag is null ? ReadLevel.Eventual : ReadLevel.Bounded,
            MaxLag = read.Read.MaxLag,
            OnUnmet = OnUnmet.Serve,
        },
        Session = default,
        HopsLeft = 0,
    };

    /// <param name="read">A read that is answered once.</param>
    /// <param name="standing">Of the node it has come to.</param>
    public static ReadStep Decide(KvRequest read, in ReadStanding standing)
    {
        if (!standing.HasReplica)
        {
            return read.HopsLeft > 0 ? ReadStep.Forward : ReadStep.Fail;
        }

        if (Meets(read.Read, read.Session, standing))
        {
            return ReadStep.Serve;
        }

        // A token of another history is found when the table is read: at once, but for a strong read, which has its proof first.
        ReadStep step = WhenUnmet(read.Read, standing.Leads, standing.LeaderIsKnown);
        return IsOfAnotherHistory(read.Session, standing.History) && (read.Read.Level != ReadLevel.Strong || step == ReadStep.Serve) ? ReadStep.Fail : step;
    }

    /// <summary>The age is within the bound, or none is asked for.</summary>
    public static bool IsYoungEnough(ReadTerms terms, uint ageMs) =>
        terms.MaxStalenessMs == 0 || (ageMs != Evidence.AgeUnknown && ageMs <= terms.MaxStalenessMs);

    /// <summary>The lag is within the bound, or none is asked for.</summary>
    public static bool IsNearEnough(ReadTerms terms, ReplicaLag? lag) => terms.MaxLag is not { } entries || lag?.Entries <= entries;

    private static ReadStep ProofFrom(bool leads, bool leaderIsKnown) => leads || !leaderIsKnown ? ReadStep.Wait : ReadStep.Ask;
}
