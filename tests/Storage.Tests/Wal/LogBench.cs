using KvStore.Raft;

namespace KvStore.Storage.Tests;

/// <summary>
/// A log on a simulated disk, a driver that plays the workers, and the model of what must be there. After every restart the log
/// must equal the model after some prefix of the submissions: at least all that were completed, at most those written.
/// </summary>
internal sealed class LogBench
{
    public const string Directory = "n1/wal";
    public static readonly LogIdentity Identity = new("test-cluster", 1, new Guid("00112233-4455-6677-8899-aabbccddeeff"));

    private readonly Random _random;
    private readonly int _groupCount;
    private readonly Dictionary<uint, GroupLog> _logs = [];
    private readonly Queue<WalSubmission> _completed = new();
    private readonly List<WalSubmission> _submitted = [];

    // States of all groups: [0] is what the owners have taken over, [n] after n more submissions.
    private readonly List<Dictionary<uint, ModelGroup>> _states = [];

    // How many of the states are known durable, and how many may be.
    private int _acknowledged;
    private int _written;
    private int _gathered;
    private ulong _clock = 1000;

    public LogBench(int seed, WalOptions options, int groups = 3, MemoryFileSystem? disk = null)
    {
        Seed = seed;
        Options = options;
        _random = new Random(seed);
        _groupCount = groups;
        Disk = disk ?? new MemoryFileSystem(seed);
        Dictionary<uint, ModelGroup> start = [];
        for (uint group = 0; group < groups; group++)
        {
            start.Add(group, new ModelGroup());
        }

        _states.Add(start);
        Open();
    }

    public static WalOptions Small => new()
    {
        SegmentBytes = 64 << 10,
        MaxBatchBytes = 8 << 10,
        EntryCacheBytes = 2 << 10,
        MaxQueuedBytes = 32 << 10,
    };

    public int Seed { get; }

    public WalOptions Options { get; }

    public MemoryFileSystem Disk { get; }

    public WriteAheadLog Log { get; private set; } = null!;

    public int Restarts { get; private set; }

    /// <summary>Submissions recovered although nobody had been told that they were durable.</summary>
    public int Survivors { get; private set; }

    public int Completed { get; private set; }

    public int CrashesInRecovery { get; private set; }

    public int MostSegments { get; private set; }

    public long Rewritten { get; private set; }

    /// <summary>Chance that a start finds a full disk, and its reserve used up by another one.</summary>
    public double StartsWithoutRoom { get; init; }

    public int StartedWithoutRoom { get; private set; }

    public GroupLog this[uint group] => _logs[group];

    public ModelGroup Model(uint group) => _states[^1][group];

    /// <summary>
    /// One random step of a worker, the log's thread, or fate. A crash may fall between two steps or into the middle of one.
    /// </summary>
    public void Step(double crashProbability)
    {
        if (_random.NextDouble() < crashProbability)
        {
            // Somewhere within the next disk operations, whoever makes them.
            Disk.CrashIn = _random.Next(1, 16);
        }

        try
        {
            if (_random.NextDouble() < crashProbability)
            {
                throw new SimulatedCrashException();
            }

            switch (_random.Next(4))
            {
                case 0:
                    SubmitRandom();
                    break;
                case 1:
                    Deliver();
                    break;
                default:
                    TurnCrank(crashProbability);
                    break;
            }
        }
        catch (SimulatedCrashException)
        {
            Restart(_random.Next(3), crashProbability);
        }
    }

    /// <summary>0: power cut, by the seed. 1: power cut, everything unsynced lost. 2: the process is killed.</summary>
    public void Restart(int how, double crashProbability = 0)
    {
        Restarts++;
        while (true)
        {
            if (how == 2)
            {
                Disk.CrashProcess();
            }
            else
            {
                Disk.Crash(how == 0 ? CrashMode.Random : CrashMode.LoseUnsynced);
            }

            if (_random.NextDouble() < 20 * crashProbability)
            {
                Disk.CrashIn = _random.Next(1, 16);
            }

            bool isFull = StartsWithoutRoom > 0 && LogFiles.Segments(Disk).Count > 0 && _random.NextDouble() < StartsWithoutRoom;
            if (isFull)
            {
                StartedWithoutRoom++;
                Disk.CapacityBytes = 1;
                if (Disk.Exists($"{Directory}/{SegmentFiles.ReserveName}"))
                {
                    Disk.Take($"{Directory}/{SegmentFiles.ReserveName}");
                }
            }

            try
            {
                Open();
                break;
            }
            catch (SimulatedCrashException)
            {
                CrashesInRecovery++;
                how = _random.Next(3);
            }
            finally
            {
                Disk.CapacityBytes = isFull ? long.MaxValue : Disk.CapacityBytes;
            }
        }

        Disk.CrashIn = 0;
        Check();
    }

    /// <summary>Gather to Complete, with a chance to crash between any two.</summary>
    public void TurnCrank(double crashProbability = 0)
    {
        if (!Log.Gather())
        {
            return;
        }

        _gathered = _submitted.Count;
        long rewritten = Log.Counters.RewrittenEntries;
        foreach (Action step in (Action[])[WriteStep, Log.Sync, CompleteStep])
        {
            if (_random.NextDouble() < crashProbability)
            {
                throw new SimulatedCrashException();
            }

            step();
        }

        MostSegments = Math.Max(MostSegments, Log.Counters.LiveSegments);
        Rewritten += Log.Counters.RewrittenEntries - rewritten;
    }

    public void WriteStep()
    {
        // Everything queued may have been gathered; what is written is a prefix of it.
        _written = _gathered;
        Invariant.Check(Log.Write(), "there is room for a segment");
    }

    /// <summary>The test has written what was gathered.</summary>
    public void WrittenStep() => _written = _gathered;

    public void CompleteStep()
    {
        int before = _completed.Count;
        try
        {
            Log.Complete();
        }
        finally
        {
            // Even when it crashes afterwards: who was told, was told.
            Completed += _completed.Count - before;
            _acknowledged += _completed.Count - before;
        }
    }

    public void GatherStep()
    {
        Assert.True(Log.Gather(), Describe("there is something to gather"));
        _gathered = _submitted.Count;
    }

    /// <summary>The owners take over the oldest completed submission and compare themselves with the model.</summary>
    public void Deliver()
    {
        if (!_completed.TryDequeue(out WalSubmission? submission))
        {
            return;
        }

        foreach (GroupLog log in _logs.Values)
        {
            log.OnDurable(submission);
        }

        Assert.Same(_submitted[0], submission);
        _submitted.RemoveAt(0);
        _states.RemoveAt(0);
        _acknowledged--;
        _written--;
        _gathered--;
        Compare(_states[0], "after a completion");
    }

    public void DrainAll()
    {
        Disk.CrashIn = 0;
        while (_submitted.Count > 0)
        {
            TurnCrank();
            Deliver();
        }
    }

    public void SubmitRandom()
    {
        Change change = NewChange();
        int groups = _random.Next(1, _groupCount + 1);
        for (int i = 0; i < groups; i++)
        {
            RandomRecord(change, (uint)_random.Next(_groupCount));
        }

        Submit(change);
    }

    public Change NewChange() => new(new WalSubmission(_completed.Enqueue), _states[^1].ToDictionary(g => g.Key, g => g.Value.Clone()));

    public void Append(Change change, uint group, int count, int payloadBytes, ulong? at = null, ulong? term = null)
    {
        ModelGroup model = change.After[group];
        ulong first = at ?? model.Last + 1;
        ulong entryTerm = term ?? model.Term(model.Last);
        List<Entry> entries = [];
        for (int i = 0; i < count; i++)
        {
            byte[] payload = new byte[payloadBytes];
            _random.NextBytes(payload);
            uint used = (uint)_random.Next(1, 5);
            entries.Add(new Entry(entryTerm, first + (ulong)i, (EntryKind)_random.Next(3), 7, _clock, used, payload));
            _clock += used;
        }

        HardState state = new(entryTerm, new ReplicaId((ulong)_random.Next(4)), model.HardState.Commit);
        change.Submission.Append(_logs[group], state, entries);
        model.Append(state, entries);
    }

    public void Compact(Change change, uint group, SnapshotMetadata snapshot, ulong keepFrom)
    {
        string file = $"{snapshot.Index}-{snapshot.Term}.snap";
        change.Submission.Compact(_logs[group], snapshot, file, keepFrom);
        change.After[group].Compact(snapshot, file, keepFrom);
    }

    /// <summary>One submission with entries for one group, through to its completion and its owner.</summary>
    public void AppendDurably(uint group, int count, int payloadBytes)
    {
        Change change = NewChange();
        Append(change, group, count, payloadBytes);
        Submit(change);
        DrainAll();
    }

    /// <summary>The same, but the machine ends after Write: nothing was synced.</summary>
    public void AppendWritten(uint group, int count, int payloadBytes)
    {
        Change change = NewChange();
        Append(change, group, count, payloadBytes);
        Submit(change);
        GatherStep();
        WriteStep();
    }

    /// <summary>What every owner does about the segments that are to go, as long as there is something to do.</summary>
    public void Purge(long maxBytes = 1000)
    {
        while (true)
        {
            Change change = NewChange();
            long bytes = _logs.Values.Sum(log => change.Submission.Rewrite(log, Log.PurgeBelow, maxBytes));
            if (bytes == 0)
            {
                return;
            }

            Submit(change);
            DrainAll();
        }
    }

    /// <summary>A snapshot of everything, and nothing kept before it.</summary>
    public void CompactAll(uint group)
    {
        Change change = NewChange();
        ModelGroup model = Model(group);
        SnapshotMetadata all = new(model.Last, model.Term(model.Last), model.Clock(model.Last), model.Mark.Configuration);
        Compact(change, group, all, model.Last + 1);
        Submit(change);
        DrainAll();
    }

    public bool Submit(Change change)
    {
        if (change.Submission.IsEmpty)
        {
            return false;
        }

        // The queue's bound is tested elsewhere; here a full queue just has to be worked off.
        while (!Log.TrySubmit(change.Submission))
        {
            TurnCrank();
        }

        _submitted.Add(change.Submission);
        _states.Add(change.After);
        return true;
    }

    public void Open()
    {
        _logs.Clear();
        _completed.Clear();
        Log = WriteAheadLog.Open(Disk, Directory, Identity, Options, opensForFirstBuilds: Seed % 2 == 1);
        for (uint group = 0; group < _groupCount; group++)
        {
            _logs.Add(group, Log.OpenGroup(group, ModelGroup.StartingMark));
        }
    }

    /// <summary>Finds the prefix the log came back with; from now on it is durable, acknowledged or not.</summary>
    public void Check()
    {
        for (int prefix = _written; prefix >= _acknowledged; prefix--)
        {
            if (Matches(_states[prefix]))
            {
                Survivors += prefix - _acknowledged;
                Dictionary<uint, ModelGroup> now = _states[prefix];
                _states.Clear();
                _states.Add(now);
                _submitted.Clear();
                _acknowledged = _written = _gathered = 0;
                return;
            }
        }

        Compare(_states[_acknowledged], $"after a restart, which must find {_acknowledged} to {_written} submissions");
        throw new InvalidOperationException("the comparison has not thrown");
    }

    public string Describe(string what) => $"seed {Seed}, restart {Restarts}: {what}";

    private bool Matches(Dictionary<uint, ModelGroup> state) =>
        state.All(g => g.Value.Render() == ModelGroup.Render(_logs[g.Key]) && g.Value.HardState == _logs[g.Key].RecoveredHardState);

    private void Compare(Dictionary<uint, ModelGroup> state, string when)
    {
        foreach ((uint group, ModelGroup model) in state)
        {
            string expected = model.Render();
            string actual = ModelGroup.Render(_logs[group]);
            if (expected != actual)
            {
                Assert.Fail(Describe($"group {group} {when}\nexpected {expected}\nactual   {actual}"));
            }

            if (when.Contains("restart", StringComparison.Ordinal) && model.HardState != _logs[group].RecoveredHardState)
            {
                Assert.Fail(Describe($"group {group} {when}: expected {model.HardState}, actual {_logs[group].RecoveredHardState}"));
            }
        }
    }

    private void RandomRecord(Change change, uint group)
    {
        ModelGroup model = change.After[group];
        ModelGroup durable = _states[0][group];
        ulong commit = model.HardState.Commit;
        switch (_random.Next(10))
        {
            case < 5:
                Append(change, group, _random.Next(1, 4), _random.Next(8) == 0 ? _random.Next(3000) : _random.Next(60));
                break;
            case 5 when model.Last > Math.Max(commit, model.Start.Index):
                // A new leader replaces what was not committed.
                ulong low = Math.Max(commit, model.Start.Index) + 1;
                ulong at = low + (ulong)_random.Next((int)(model.Last + 1 - low));
                Append(change, group, _random.Next(1, 3), _random.Next(40), at, model.Term(model.Last) + 1);
                break;
            case 6:
                // Commit moves, at most to what is durable.
                ulong to = Math.Max(commit, Math.Min(model.Last, durable.Last));
                HardState moved = model.HardState with { Commit = _random.Next(2) == 0 ? to : commit };
                change.Submission.Append(_logs[group], moved, []);
                model.Append(moved, []);
                break;
            case 7 when OwnSnapshot(durable, model) is { } own:
                ulong first = durable.Start.Index + 1;
                ulong keepFrom = first + (ulong)_random.Next((int)(own.Index + 1 - first) + 1);
                Compact(change, group, own, keepFrom);
                break;
            case 8 when _random.Next(4) == 0:
                // A snapshot from the leader: beyond the log, or over a tail it contradicts.
                ulong index = Math.Max(commit, model.Mark.Index) + 1 + (ulong)_random.Next(6);
                ulong term = model.Term(model.Last) + 1;
                Compact(change, group, new SnapshotMetadata(index, term, _clock += 10, ConfState.Of(new ReplicaId(9))), index + 1);
                HardState after = new(term, ReplicaId.None, index);
                change.Submission.Append(_logs[group], after, []);
                model.Append(after, []);
                break;
            case 9:
                // Moves entries and changes nothing; sometimes all of them, wherever they are.
                ulong below = _random.Next(2) == 0 ? Log.PurgeBelow : ulong.MaxValue;
                change.Submission.Rewrite(_logs[group], below, _random.Next(2000));
                break;
        }
    }

    /// <summary>Metadata of a snapshot of something committed, durable and not cut by what is already on its way.</summary>
    private SnapshotMetadata? OwnSnapshot(ModelGroup durable, ModelGroup model)
    {
        ulong high = Math.Min(durable.Last, Math.Min(model.HardState.Commit, durable.HardState.Commit));
        ulong low = Math.Max(model.Mark.Index, durable.Start.Index);
        if (high <= low || model.Mark != durable.Mark)
        {
            return null;
        }

        ulong index = low + 1 + (ulong)_random.Next((int)(high - low));
        return new SnapshotMetadata(index, durable.Term(index), durable.Clock(index), ConfState.Of(new ReplicaId(1), new ReplicaId(index)));
    }
}

/// <summary>A submission and the model after it.</summary>
internal sealed record Change(WalSubmission Submission, Dictionary<uint, ModelGroup> After);
