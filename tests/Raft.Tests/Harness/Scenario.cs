using System.Globalization;
using System.Text;

namespace KvStore.Raft.Tests.Harness;

/// <summary>
/// Plays a scenario file against real cores and writes down what they do. A file is a sequence of blocks
/// <code>
/// # comment
/// command arguments          one or more lines
/// ----
/// what happened              until an empty line
/// </code>
/// Messages are printed when they are sent and delivered in that order by <c>run</c>. Disks are fast unless made slow.
/// </summary>
internal sealed class Scenario
{
    private readonly StringBuilder _output = new();
    private readonly HashSet<(string From, string To)> _held = [];
    private readonly Dictionary<ReplicaId, string> _lastRole = [];
    private readonly Dictionary<ReplicaId, ulong> _lastCommit = [];
    private readonly Dictionary<ReplicaId, ConfState> _lastConfiguration = [];
    private TestCluster _cluster = new();
    private Func<RaftConfig, RaftConfig> _adjust = config => config;
    private ConfState _founders = TestCluster.VotersOnly(1);
    private ulong _round;

    /// <summary>The file again, with what happened in place of what was expected.</summary>
    public static string Play(string text)
    {
        var scenario = new Scenario();
        var result = new StringBuilder();
        using var lines = new StringReader(text);
        while (lines.ReadLine() is { } line)
        {
            result.Append(line).Append('\n');
            if (line == "----")
            {
                while (!string.IsNullOrEmpty(lines.ReadLine()))
                {
                    // The expectation of last time.
                }

                result.Append(scenario._output.Length == 0 ? "nothing\n" : scenario._output.ToString()).Append('\n');
                scenario._output.Clear();
            }
            else if (line.Length > 0 && line[0] != '#')
            {
                scenario.Do(line);
            }
        }

        return result.ToString().TrimEnd('\n') + "\n";
    }

    private void Do(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        try
        {
            Do(words[0], words[1..]);
        }
        catch (InvariantViolationException e)
        {
            Say(e.Message);
        }
    }

    private void Do(string command, string[] args)
    {
        switch (command)
        {
            case "cluster":
                StartCluster(args);
                break;
            case "node":
                PrepareNode(args);
                break;
            case "campaign":
                Node(args).Do(node => node.Campaign());
                break;
            case "elect":
                Elect(args);
                break;
            case "tick":
                Tick(args);
                break;
            case "propose":
                Propose(args);
                break;
            case "round":
                _round++;
                Node(args).Do(node => node.StartRound(_round));
                break;
            case "read":
                Read(args);
                break;
            case "forget":
                Node(args).Do(node => node.ForgetLeader(int.Parse(args[1], CultureInfo.InvariantCulture)));
                break;
            case "transfer":
                Node(args).Do(node => Say(node.TransferLeadership(Id(args[1])) ? "accepted" : "refused"));
                break;
            case "conf":
                ChangeConfiguration(args);
                break;
            case "unreachable":
                Node(args).Do(node => node.ReportUnreachable(Id(args[1])));
                break;
            case "run":
                _cluster.Run(message => !_held.Contains((message.From.ToString(), message.To.ToString())));
                break;
            case "deliver":
                ForMessages(args, index => Deliver(_cluster.Network[index]));
                break;
            case "drop":
                ForMessages(args, index =>
                {
                    Say($"lost {Text.Of(_cluster.Network[index])}");
                    _cluster.Network.RemoveAt(index);
                });
                break;
            case "repeat":
                ForMessages(args, index => _cluster.Network.Add(_cluster.Network[index]));
                break;
            case "hold":
                _held.Add(Link(args[0]));
                break;
            case "release":
                _held.Remove(Link(args[0]));
                break;
            case "cut":
                _cluster.Cut(Number(Link(args[0]).From), Number(Link(args[0]).To));
                break;
            case "isolate":
                _cluster.Isolate(Number(args[0]));
                break;
            case "heal":
                _cluster.Heal();
                break;
            case "disk":
                Node(args).HasSlowDisk = args[1] == "slow";
                break;
            case "sync":
                Sync(args);
                break;
            case "crash":
                Node(args).Crash();
                break;
            case "restart":
                Forget(Node(args).Id);
                Node(args).Restart();
                break;
            case "clock":
                Node(args).GroupClock = Number(args[1]);
                break;
            case "snapshot":
                Node(args).TakeSnapshot();
                Say($"{args[0]} has snapshot {Node(args).Disk.Snapshot.Index}/{Node(args).Disk.Snapshot.Term}");
                break;
            case "compact":
                Node(args).Disk.CompactTo(Number(args[1]));
                break;
            case "install":
                Node(args).InstallFrom(_cluster[Number(args[1])]);
                break;
            case "abandon":
                Node(args).Do(node => node.AbandonSnapshot());
                break;
            case "bug":
                Node(args).Bug = Enum.Parse<OwnerBug>(args[1]);
                break;
            case "status":
                Status(args);
                break;
            case "log":
                Say($"{args[0]} has {Text.Of(Node(args).Disk.HardState)} on disk, log {Log(Node(args).Disk)}");
                break;
            case "clocks":
                Say($"{args[0]} stamped {string.Join(' ', Stored(Node(args).Disk).Select(entry => $"{entry.Index}:{entry.Clock}"))}");
                break;
            default:
                throw new FormatException($"no command '{command}'");
        }
    }

    /// <summary>cluster 3 learner 4 append-bytes 200 holds-vote 1 ...</summary>
    private void StartCluster(string[] args)
    {
        int count = int.Parse(args[0], CultureInfo.InvariantCulture);
        _founders = TestCluster.VotersOnly(count);
        List<ReplicaId> learners = [];
        for (int i = 1; i < args.Length; i += 2)
        {
            Func<RaftConfig, RaftConfig> before = _adjust;
            int value = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
            switch (args[i])
            {
                case "learner":
                    learners.Add(new ReplicaId((ulong)value));
                    break;
                case "holds-vote":
                    _adjust = config => before(config) with { HoldsVoteAfterStart = value == 1 };
                    break;
                case "append-bytes":
                    _adjust = config => before(config) with { MaxAppendBytes = value };
                    break;
                case "inflight":
                    _adjust = config => before(config) with { MaxInflightAppends = value };
                    break;
                case "inflight-bytes":
                    _adjust = config => before(config) with { MaxInflightBytes = value };
                    break;
                case "uncommitted-bytes":
                    _adjust = config => before(config) with { MaxUncommittedBytes = value };
                    break;
                case "apply-bytes":
                    _adjust = config => before(config) with { MaxApplyBytes = value };
                    break;
                case "reads":
                    _adjust = config => before(config) with { MaxPendingReads = value };
                    break;
                default:
                    throw new FormatException($"no setting '{args[i]}'");
            }
        }

        _founders = _founders with { Learners = learners };
        _cluster = new TestCluster { OnReady = OnReady, OnSent = OnSent, OnStepped = Observe };
        foreach (ReplicaId id in _founders.Voters.Concat(learners))
        {
            AddNode(id.Value, _founders, _ => { });
        }
    }

    /// <summary>
    /// node 4 log 1 1 2 term 3 vote 2 commit 1: a member, or a newcomer, with this disk; in place of the one with that id.
    /// </summary>
    private void PrepareNode(string[] args)
    {
        List<Entry> log = [];
        var hardState = default(HardState);
        string field = "";
        foreach (string word in args[1..])
        {
            if (!ulong.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value))
            {
                field = word;
                continue;
            }

            ulong index = (ulong)log.Count + 1;
            switch (field)
            {
                case "log":
                    log.Add(new Entry(value, index, EntryKind.Command, 1, index, 1, Encoding.ASCII.GetBytes($"t{value}")));
                    break;
                case "term":
                    hardState = hardState with { Term = value };
                    break;
                case "vote":
                    hardState = hardState with { Vote = new ReplicaId(value) };
                    break;
                case "commit":
                    hardState = hardState with { Commit = value };
                    break;
                default:
                    throw new FormatException($"no field '{field}'");
            }
        }

        AddNode(Number(args[0]), _founders, disk =>
        {
            disk.Write(log);
            disk.HardState = hardState;
        });
    }

    private void AddNode(ulong id, ConfState configuration, Action<MemoryLog> prepare)
    {
        TestReplica replica = _cluster.Add(id, configuration, _adjust, prepare);
        Forget(replica.Id);
        replica.TakeAllReady();
    }

    /// <summary>Campaign, and a round that tells the commit index: how most stories begin, without the telling.</summary>
    private void Elect(string[] args)
    {
        int before = _output.Length;
        TestReplica leader = _cluster.Elect(Number(args[0]));
        leader.Do(node => node.StartRound(++_round));
        _cluster.Run();
        _output.Length = before;
        Say($"{leader.Id} leads term {leader.Node.Term}, {leader.Node.CommitIndex} is committed");
    }

    private void Forget(ReplicaId id)
    {
        _lastRole[id] = "";
        _lastCommit[id] = 0;
        _lastConfiguration[id] = _founders;
    }

    private void Tick(string[] args)
    {
        int times = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 1;
        for (int i = 0; i < times; i++)
        {
            foreach (TestReplica replica in _cluster.Replicas.Where(replica => args[0] == "all" || replica == Node(args)))
            {
                replica.Do(node => node.Tick());
            }
        }
    }

    /// <summary>propose 1 x, or propose 1 x 500 for a payload of 500 bytes.</summary>
    private void Propose(string[] args)
    {
        string payload = args.Length > 2 ? args[1].PadRight(int.Parse(args[2], CultureInfo.InvariantCulture), '.') : args[1];
        Node(args).Do(node =>
        {
            ProposeResult result = node.Propose(Encoding.ASCII.GetBytes(payload), 1, 1);
            if (result.Outcome != ProposeOutcome.Accepted)
            {
                Say($"{args[0]} refuses: {result.Outcome}");
            }
        });
    }

    private void Read(string[] args) => Node(args).Do(node =>
    {
        if (!node.ReadIndex(Number(args[1])))
        {
            Say($"{args[0]} refuses read {args[1]}");
        }
    });

    /// <summary>
    /// conf 1 v4 l5 r2 joint|explicit: voter 4, learner 5, remove 2; without steps: leave. l5@9: it lives on node 9. e7: by table 7.
    /// </summary>
    private void ChangeConfiguration(string[] args)
    {
        ulong epoch = 0;
        var transition = ConfTransition.Auto;
        List<ConfChangeStep> steps = [];
        foreach (string word in args[1..])
        {
            switch (word)
            {
                case "joint":
                    transition = ConfTransition.JointAutoLeave;
                    break;
                case "explicit":
                    transition = ConfTransition.JointExplicit;
                    break;
                case ['e', .. string number]:
                    epoch = Number(number);
                    break;
                default:
                    ConfChangeKind kind = word[0] switch
                    {
                        'v' => ConfChangeKind.AddVoter,
                        'l' => ConfChangeKind.AddLearner,
                        'r' => ConfChangeKind.Remove,
                        _ => throw new FormatException($"no step '{word}'"),
                    };
                    string[] place = word[1..].Split('@');
                    steps.Add(new ConfChangeStep(kind, Id(place[0]), place.Length > 1 ? (uint)Number(place[1]) : 0));
                    break;
            }
        }

        Node(args).Do(node =>
        {
            ProposeResult result = node.ProposeConfChange(new ConfChange(transition, steps) { Epoch = epoch });
            if (result.Outcome != ProposeOutcome.Accepted)
            {
                Say($"{args[0]} refuses: {result.Outcome}");
            }
        });
    }

    private void Sync(string[] args)
    {
        // By default those in flight now; what they set off is written next time.
        int times = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : Node(args).WritesInFlight;
        for (int i = 0; i < times && Node(args).WritesInFlight > 0; i++)
        {
            Say($"{args[0]} has synced");
            Node(args).CompleteWrite();
        }
    }

    /// <summary>1->2 for the oldest on that link, 1->2 all for all that are there now.</summary>
    private void ForMessages(string[] args, Action<int> action)
    {
        (string from, string to) = Link(args[0]);
        bool Matches(Message message) => message.From.ToString() == from && message.To.ToString() == to;
        int times = args.Length > 1 && args[1] == "all" ? _cluster.Network.Count(Matches) : 1;
        for (int i = 0; i < times; i++)
        {
            int index = _cluster.Network.FindIndex(Matches);
            if (index < 0)
            {
                Say($"no message {args[0]}");
                return;
            }

            action(index);
        }
    }

    private void Deliver(Message chosen) => _cluster.DeliverOne(message => ReferenceEquals(message, chosen));

    private void Status(string[] args)
    {
        RaftNode node = Node(args).Node;
        Say($"{args[0]} {node.Role} term {node.Term} commit {node.CommitIndex} applied {node.AppliedIndex} last {node.LastIndex}"
            + (node.ConfirmedRound > 0 ? $" confirmed round {node.ConfirmedRound} at {node.ConfirmedCommit}" : "")
            + (node.WantsRound ? " wants a round" : ""));
        foreach (ProgressStatus member in node.Progress)
        {
            Say($"  {Text.Of(member)}");
        }
    }

    private void OnReady(TestReplica replica, Ready ready)
    {
        Observe(replica);
        if (replica.HasSlowDisk && ready.MustSync)
        {
            Say($"{replica.Id} starts writing {Text.Of(ready.HardState!.Value)} [{Text.Of(ready.Entries)}]");
        }

        if (ready.Snapshot is { } snapshot)
        {
            Say($"{replica.Id} must fetch snapshot {snapshot.Index}/{snapshot.Term}");
        }

        if (ready.Committed.Count > 0)
        {
            Say($"{replica.Id} applies {Text.Of(ready.Committed)}");
        }

        foreach (ReadState read in ready.Reads)
        {
            Say($"{replica.Id} may serve read {read.Context} at {read.Index}");
        }
    }

    private void OnSent(Message message, bool lost) => Say($"{(lost ? "lost " : "")}{Text.Of(message)}");

    /// <summary>Says what has changed since it was last said.</summary>
    private void Observe(TestReplica replica)
    {
        RaftNode node = replica.Node;
        if (node.CommitIndex != _lastCommit.GetValueOrDefault(node.Id))
        {
            Say($"{node.Id} knows {node.CommitIndex} is committed");
            _lastCommit[node.Id] = node.CommitIndex;
        }

        if (!node.Configuration.Equals(_lastConfiguration.GetValueOrDefault(node.Id)))
        {
            Say($"{node.Id} uses {Text.Of(node.Configuration)}");
            _lastConfiguration[node.Id] = node.Configuration;
        }

        string role = node.Role == Role.Follower
            ? node.Leader.IsNone ? $"follows nobody in term {node.Term}" : $"follows {node.Leader} in term {node.Term}"
            : $"is {node.Role} in term {node.Term}";
        if (role != _lastRole.GetValueOrDefault(node.Id))
        {
            if (!string.IsNullOrEmpty(_lastRole.GetValueOrDefault(node.Id)) || node.Role != Role.Follower)
            {
                Say($"{node.Id} {role}");
            }

            _lastRole[node.Id] = role;
        }
    }

    private TestReplica Node(string[] args) => _cluster[Number(args[0])];

    private void Say(string line) => _output.Append(line).Append('\n');

    private static string Log(MemoryLog disk) => Text.Of([.. Stored(disk)]);

    private static IEnumerable<Entry> Stored(MemoryLog disk)
    {
        for (ulong index = disk.FirstIndex; index <= disk.LastIndex; index++)
        {
            yield return disk[index];
        }
    }

    private static ReplicaId Id(string word) => new(Number(word));

    private static ulong Number(string word) => ulong.Parse(word, CultureInfo.InvariantCulture);

    private static (string From, string To) Link(string word)
    {
        string[] ends = word.Split("->");
        return (ends[0], ends[1]);
    }
}
