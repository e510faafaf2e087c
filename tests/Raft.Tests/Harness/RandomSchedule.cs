using System.Globalization;

namespace KvStore.Raft.Tests.Harness;

/// <summary>
/// One seeded run of a cluster in which anything may happen between any two steps: messages lost, repeated and reordered,
/// writes delayed, power cuts, elections at bad moments, configuration changes, snapshots. While it runs it checks what Raft
/// promises; afterwards everything is healed and the group must come back.
/// </summary>
internal sealed class RandomSchedule
{
    private const int MaxMessages = 300;

    private readonly ulong _seed;
    private readonly Random _random;
    private readonly TestCluster _cluster;
    private readonly int _founders;
    private readonly OwnerBug _bug;

    // What has been committed, by index; never changes once set.
    private readonly List<Entry> _committed = [];
    private readonly Dictionary<(ulong Index, ulong Term), Entry> _written = [];
    private readonly Dictionary<ulong, ReplicaId> _leaders = [];
    private readonly Dictionary<(ReplicaId Asker, ulong Context), ulong> _questions = [];
    private readonly Dictionary<ReplicaId, ulong> _terms = [];
    private ulong _highestCommit;
    private ulong _nextContext = 1;
    private ulong _nextRound = 1;
    private int _step;

    public RandomSchedule(ulong seed, OwnerBug bug = OwnerBug.None)
    {
        _seed = seed;
        _bug = bug;
        _random = new Random((int)seed);
        _founders = _random.Next(3, 6);
        _cluster = new TestCluster { OnApplied = CheckApplied, OnWritten = CheckWritten };
        ConfState founders = TestCluster.VotersOnly(_founders);
        for (ulong id = 1; id <= (ulong)_founders + 1; id++)
        {
            // The last one is a spare: it knows the founders and may become a member later.
            TestReplica replica = _cluster.Add(id, founders, config => config with
            {
                Seed = seed * 100 + config.Seed,
                ElectionTicks = 5,
                HoldsVoteAfterStart = seed % 4 == 1,
                MaxAppendBytes = 200,
                MaxInflightAppends = 3,
                MaxInflightBytes = 600,
                MaxUncommittedBytes = 2000,
                MaxApplyBytes = 200,
                MaxPendingReads = 8,
            });
            replica.HasSlowDisk = true;
            replica.Bug = bug;
        }
    }

    public int Elections => _leaders.Count;

    public int Committed => _committed.Count;

    public int ReadsProved { get; private set; }

    public int Changes { get; private set; }

    public int Installed { get; private set; }

    public void Run(int steps)
    {
        for (_step = 0; _step < steps; _step++)
        {
            DoSomething();
            CheckAll();
        }

        if (_bug == OwnerBug.None)
        {
            Heal();
        }
    }

    private void DoSomething()
    {
        TestReplica replica = Any();
        switch (_random.Next(1000))
        {
            case < 450:
                DeliverAny();
                break;
            case < 500:
                replica.Do(node => node.Tick());
                break;
            case < 750:
                replica.CompleteWrite();
                break;
            case < 840:
                AnyLeader().Do(node => node.Propose(new byte[] { (byte)_step }, (uint)_random.Next(1, 4), 1));
                break;
            case < 880:
                AnyLeader().Do(node => node.StartRound(_nextRound++));
                break;
            case < 910:
                Ask(replica);
                break;
            case < 940:
                LoseOrRepeat();
                break;
            case < 950:
                CrashOrRestart(replica);
                break;
            case < 956:
                ChangeLinks(replica);
                break;
            case < 961:
                replica.Do(node => node.ForgetLeader(_random.Next(3)));
                break;
            case < 965:
                replica.Do(node => node.Campaign());
                break;
            case < 975:
                ChangeConfiguration(AnyLeader());
                break;
            case < 978:
                AnyLeader().Do(node => node.TransferLeadership(Any().Id));
                break;
            case < 995:
                Snapshot(replica);
                break;
            default:
                AnyLeader().Do(node => node.ReportUnreachable(Any().Id));
                break;
        }
    }

    /// <summary>One of those that think they lead, deposed or not; anybody when there is none.</summary>
    private TestReplica AnyLeader()
    {
        TestReplica[] leaders = [.. _cluster.Replicas.Where(replica => replica.IsUp && replica.Node.Role == Role.Leader)];
        return leaders.Length == 0 ? Any() : leaders[_random.Next(leaders.Length)];
    }

    private TestReplica Any() => _cluster[(ulong)_random.Next(1, _founders + 2)];

    private void DeliverAny()
    {
        if (_cluster.Network.Count > 0)
        {
            // Mostly in order, or hardly anything would ever be agreed on.
            int reach = _random.Next(4) == 0 ? _cluster.Network.Count : 1;
            Message chosen = _cluster.Network[_random.Next(reach)];
            _cluster.DeliverOne(message => ReferenceEquals(message, chosen));
        }
    }

    private void LoseOrRepeat()
    {
        if (_cluster.Network.Count == 0)
        {
            return;
        }

        int index = _random.Next(_cluster.Network.Count);
        if (_random.Next(2) == 0 || _cluster.Network.Count > MaxMessages)
        {
            _cluster.Network.RemoveAt(index);
        }
        else
        {
            _cluster.Network.Add(_cluster.Network[index]);
        }
    }

    private void Ask(TestReplica replica)
    {
        ulong context = _nextContext++;
        bool asked = false;
        ulong covered = _highestCommit;
        _questions[(replica.Id, context)] = covered;
        replica.Do(node => asked = node.ReadIndex(context));
        if (!asked)
        {
            _questions.Remove((replica.Id, context));
        }
    }

    private void CrashOrRestart(TestReplica replica)
    {
        if (!replica.IsUp)
        {
            replica.Restart();
        }
        else
        {
            // Part of what was on its way may have reached the disk: writes complete in order, and any prefix of them is possible.
            for (int i = _random.Next(3); i > 0; i--)
            {
                replica.CompleteWrite();
            }

            replica.Crash();
            if (_random.Next(2) == 0)
            {
                replica.Restart();
            }
        }
    }

    private void ChangeLinks(TestReplica replica)
    {
        switch (_random.Next(4))
        {
            case 0:
                _cluster.Isolate(replica.Id.Value);
                break;
            case 1:
                _cluster.Cut(replica.Id.Value, Any().Id.Value);
                break;
            default:
                _cluster.Heal();
                break;
        }
    }

    private void ChangeConfiguration(TestReplica replica)
    {
        List<ConfChangeStep> steps = [];
        for (int i = _random.Next(1, 4); i > 0; i--)
        {
            steps.Add(new ConfChangeStep((ConfChangeKind)_random.Next(3), Any().Id));
        }

        var change = new ConfChange((ConfTransition)_random.Next(3), _random.Next(4) == 0 ? [] : steps);
        if (_seed % 2 == 0)
        {
            // Mostly by the table of the moment, sometimes by an older one.
            change = change with { Epoch = (ulong)(_step / 100 + (_random.Next(4) == 0 ? 0 : 1)) };
        }

        replica.Do(node => node.ProposeConfChange(change));
    }

    private void Snapshot(TestReplica replica)
    {
        if (!replica.IsUp)
        {
            return;
        }

        if (replica.Node.PendingSnapshot is null)
        {
            replica.TakeSnapshot();
            replica.Disk.CompactTo(replica.Disk.Snapshot.Index);
        }
        else
        {
            Installed++;
            replica.InstallFrom(_cluster.Replicas.MaxBy(other => other.Disk.Snapshot.Index)!);
        }
    }

    private void CheckAll()
    {
        foreach (TestReplica replica in _cluster.Replicas.Where(replica => replica.IsUp))
        {
            RaftNode node = replica.Node;
            _highestCommit = Math.Max(_highestCommit, node.CommitIndex);
            Check(node.Term >= _terms.GetValueOrDefault(replica.Id), "a term never goes back, restarts included", replica);
            _terms[replica.Id] = replica.Disk.HardState.Term;
            if (node.Role == Role.Leader)
            {
                ReplicaId first = _leaders.TryGetValue(node.Term, out ReplicaId known) ? known : _leaders[node.Term] = node.Id;
                Check(first == node.Id, $"term {node.Term} has one leader, not {first} and {node.Id}", replica);
            }

            CheckReads(replica);
        }
    }

    private void CheckReads(TestReplica replica)
    {
        foreach (ReadState read in replica.Reads)
        {
            if (_questions.TryGetValue((replica.Id, read.Context), out ulong covered))
            {
                Check(read.Index >= covered, $"read {read.Context} must cover {covered}, not {read.Index}", replica);
                ReadsProved++;
            }
        }

        replica.Reads.Clear();
    }

    private void CheckApplied(TestReplica replica, IReadOnlyList<Entry> entries)
    {
        foreach (Entry entry in entries)
        {
            int position = (int)entry.Index - 1;
            Check(position <= _committed.Count, "entries are applied without a hole", replica);
            if (position == _committed.Count)
            {
                ulong lastClock = position == 0 ? 0 : _committed[^1].LastClock;
                Check(entry.Clock > lastClock, "revisions rise along the log", replica);
                _committed.Add(entry);
                Changes += entry.Kind == EntryKind.ConfChange ? 1 : 0;
            }

            Check(_committed[position] == entry, $"two entries were applied at {entry.Index}", replica);
            Check(replica.State[position] == entry, "the state machine gets every entry once, in order", replica);
        }
    }

    /// <summary>Log matching: index and term name one entry, everywhere and for ever.</summary>
    private void CheckWritten(TestReplica replica, IReadOnlyList<Entry> entries)
    {
        foreach (Entry entry in entries)
        {
            Check(_written.TryAdd((entry.Index, entry.Term), entry) || _written[(entry.Index, entry.Term)] == entry,
                $"two entries with index {entry.Index} and term {entry.Term}", replica);
        }
    }

    /// <summary>No more faults: within a bounded number of rounds a leader commits, and every member has everything.</summary>
    private void Heal()
    {
        _cluster.Heal();
        foreach (TestReplica replica in _cluster.Replicas)
        {
            replica.HasSlowDisk = false;
            while (replica.CompleteWrite())
            {
                // The backlog of a disk that was slow until now.
            }

            if (!replica.IsUp)
            {
                replica.Restart();
            }
        }

        for (int round = 0; round < 200; round++)
        {
            foreach (TestReplica replica in _cluster.Replicas)
            {
                replica.Do(node => node.Tick());
                replica.Do(node => node.StartRound(_nextRound++));
                replica.InstallFrom(_cluster.Replicas.MaxBy(other => other.Disk.Snapshot.Index)!);
            }

            _cluster.Run();
            CheckAll();
        }

        TestReplica? leader = _cluster.Replicas.SingleOrDefault(replica => replica.Node.Role == Role.Leader);
        Check(leader is not null, "a healed group has a leader", _cluster[1]);
        leader!.Do(node => node.Propose(new byte[] { 0xFF }, 1, 1));
        _cluster.Run();
        leader.Do(node => node.StartRound(_nextRound++));
        _cluster.Run();
        foreach (ProgressStatus member in leader.Node.Progress)
        {
            TestReplica replica = _cluster[member.Id.Value];
            Check(replica.State.SequenceEqual(_committed), $"a healed member has applied all {_committed.Count} entries", replica);
        }
    }

    private void Check(bool holds, string property, TestReplica replica)
    {
        if (!holds)
        {
            throw new SafetyViolationException(
                string.Create(CultureInfo.InvariantCulture, $"seed {_seed}, step {_step}, replica {replica.Id}: {property}"));
        }
    }
}

internal sealed class SafetyViolationException(string message) : Exception(message);
