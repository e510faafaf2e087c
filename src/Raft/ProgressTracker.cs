using KvStore.Raft.Quorum;

namespace KvStore.Raft;

/// <summary>The configuration in force, what the leader knows about every member, and the ballot of a candidate.</summary>
internal sealed class ProgressTracker
{
    private readonly RaftConfig _limits;
    private readonly Func<ReplicaId, ulong> _matchOf;
    private readonly Func<ReplicaId, ulong> _answeredRoundOf;
    private readonly Func<ReplicaId, bool?> _activityOf;
    private readonly Func<ReplicaId, bool?> _voteOf;

    // Invariant: ascending ids, so that every iteration, and with it every message order, is the same in every run.
    private readonly List<(ReplicaId Id, bool Granted)> _votes = [];
    private readonly List<Progress> _members = [];

    public ProgressTracker(RaftConfig limits, ConfState configuration)
    {
        _limits = limits;
        _matchOf = id => Find(id)?.Match ?? 0;
        _answeredRoundOf = id => Find(id)?.AnsweredRound ?? 0;
        _activityOf = id => id == _limits.Id || (Find(id)?.RecentActive ?? false);
        _voteOf = VoteOf;
        Configuration = configuration;
        Voters = VotersOf(configuration);
    }

    public ConfState Configuration { get; private set; }

    public JointConfig Voters { get; private set; }

    /// <summary>Progress of every member, learners and the leader itself included, in id order. Empty unless leader.</summary>
    public List<Progress> Members => _members;

    /// <summary>Everybody who receives the log, in id order.</summary>
    public IEnumerable<ReplicaId> MemberIds =>
        Configuration.Voters.Concat(Configuration.VotersOutgoing).Concat(Configuration.Learners).Distinct().Order();

    public bool IsVoter(ReplicaId id) => Voters.Contains(id);

    /// <summary>The largest index a quorum has made durable.</summary>
    public ulong CommittedIndex => Voters.CommittedIndex(_matchOf);

    /// <summary>The largest round a quorum has answered. Learners never count, both halves of a joint configuration do.</summary>
    public ulong ConfirmedRound => Voters.CommittedIndex(_answeredRoundOf);

    /// <summary>Whether the leader has heard from a quorum since the activity marks were cleared.</summary>
    public bool IsQuorumActive => Voters.CountVotes(_activityOf) == VoteResult.Won;

    public ulong LowestVoterMatch => Voters.Lowest(_matchOf);

    public Progress? Find(ReplicaId id)
    {
        foreach (Progress member in _members)
        {
            if (member.Id == id)
            {
                return member;
            }
        }

        return null;
    }

    /// <summary>A new leader knows nothing about anybody: it probes from the end of its own log (paper 5.3).</summary>
    public void StartTerm(ulong lastIndex)
    {
        _members.Clear();
        foreach (ReplicaId id in MemberIds)
        {
            _members.Add(NewMember(id, lastIndex + 1));
        }
    }

    public void EndTerm() => _members.Clear();

    /// <summary>
    /// Takes a new configuration into force. A leader keeps what it knows about members that stay; a new member counts as
    /// heard from, or the next quorum check would depose the leader before the newcomer could answer.
    /// </summary>
    public void Use(ConfState configuration, bool leading, ulong lastIndex)
    {
        Configuration = configuration;
        Voters = VotersOf(configuration);
        if (!leading)
        {
            return;
        }

        List<Progress> before = [.. _members];
        _members.Clear();
        foreach (ReplicaId id in MemberIds)
        {
            Progress? known = before.Find(member => member.Id == id);
            if (known is null)
            {
                known = NewMember(id, lastIndex + 1);
                known.RecentActive = true;
            }

            known.IsLearner = !IsVoter(id);
            _members.Add(known);
        }
    }

    public void ClearActivity()
    {
        foreach (Progress member in _members)
        {
            member.RecentActive = false;
        }
    }

    public void ClearVotes() => _votes.Clear();

    /// <summary>The first answer of a voter counts; repeats change nothing.</summary>
    public void RecordVote(ReplicaId voter, bool granted)
    {
        if (VoteOf(voter) is null)
        {
            _votes.Add((voter, granted));
        }
    }

    public VoteResult CountVotes() => Voters.CountVotes(_voteOf);

    private static JointConfig VotersOf(ConfState configuration) =>
        new(new MajorityConfig(configuration.Voters), new MajorityConfig(configuration.VotersOutgoing));

    private Progress NewMember(ReplicaId id, ulong next) =>
        new(id, next, new Inflights(_limits.MaxInflightAppends, _limits.MaxInflightBytes)) { IsLearner = !IsVoter(id) };

    private bool? VoteOf(ReplicaId id)
    {
        foreach ((ReplicaId voter, bool granted) in _votes)
        {
            if (voter == id)
            {
                return granted;
            }
        }

        return null;
    }
}
