using KvStore.Protocol;
using KvStore.StateMachine;
using KvStore.Storage;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Random streams of entries: against the naive state machine, and against a replica that restarts in the middle.</summary>
public sealed class RandomStreamTests
{
    internal const int Seeds = 150;
    private const int EntriesPerSeed = 120;

    [Fact]
    public void The_state_machine_agrees_with_the_naive_one()
    {
        for (int seed = 1; seed <= Seeds; seed++)
        {
            string? difference = DifferenceToNaive(seed, Mutant.None);
            Assert.True(difference is null, $"seed {seed}: {difference}");
        }
    }

    [Fact]
    public void The_streams_reach_every_kind_of_result()
    {
        var seen = new HashSet<(ErrorCode, bool)>();
        for (int seed = 1; seed <= 110; seed++)
        {
            var machine = new Machine { Level = LevelOf(seed) };
            var stream = new CommandStream(seed, LevelOf(seed));
            for (int i = 0; i < EntriesPerSeed; i++)
            {
                (ulong clock, KvRequest[] requests) = stream.Next();
                CommandResult[] results = machine.ApplyAtClock(clock, requests);
                stream.Saw(results);
                seen.UnionWith(results.Select(r => (r.Code, r.Duplicate)));
            }
        }

        Assert.Superset(
            new HashSet<(ErrorCode, bool)>
            {
                (ErrorCode.None, false), (ErrorCode.None, true), (ErrorCode.ConditionFailed, false), (ErrorCode.ConditionFailed, true),
                (ErrorCode.NotANumber, false), (ErrorCode.NotANumber, true), (ErrorCode.IdempotencyExpired, false),
                (ErrorCode.IdempotencyReused, false), (ErrorCode.InvalidRequest, false), (ErrorCode.TooLarge, false), (ErrorCode.TooLarge, true),
            },
            seen);
    }

    [Fact]
    public void The_streams_of_a_level_hold_every_write_operation_of_it_and_the_twin_executes_each()
    {
        foreach (ushort level in Enumerable.Range(FeatureLevel.First, FeatureLevel.Max).Select(level => (ushort)level))
        {
            string[] known = [.. OperationTable.All.Where(row => row.IsWrite && row.Level <= level).Select(row => row.Name)];
            var sent = new HashSet<string>();
            var executed = new HashSet<string>();
            for (int seed = 1; seed <= 10; seed++)
            {
                var naive = new NaiveStateMachine(Mutant.None, Machine.Start);
                var stream = new CommandStream(seed, level);
                for (int i = 0; i < EntriesPerSeed; i++)
                {
                    (ulong clock, KvRequest[] requests) = stream.Next();
                    List<CommandResult> results = naive.Apply(clock, requests);
                    stream.Saw(results);
                    foreach ((KvRequest request, CommandResult result) in requests.Zip(results))
                    {
                        string[] names = [NameOf(request.Operation), .. ((request.Operation as Batch)?.Items ?? []).Select(NameOf)];
                        // What a transaction holds is executed by batches, too, so its list must not vouch for it.
                        sent.UnionWith(names);
                        executed.UnionWith(result.Code == ErrorCode.None ? names : []);
                    }
                }
            }

            Assert.Equal(known.Order(), sent.Order());
            Assert.Equal(known.Order(), executed.Order());
        }

        static string NameOf(Operation operation) => OperationTable.Find(operation.Code)!.Name;
    }

    [Fact]
    public void A_replica_that_restarts_from_snapshots_in_the_middle_is_equal_at_every_index()
    {
        for (int seed = 1; seed <= 40; seed++)
        {
            string? difference = DifferenceAfterRestart(seed, tamper: null);
            Assert.True(difference is null, $"seed {seed}: {difference}");
        }
    }

    internal static string? DifferenceToNaive(int seed, Mutant mutant)
    {
        var machine = new Machine { Level = LevelOf(seed) };
        var naive = new NaiveStateMachine(mutant, Machine.Start);
        var stream = new CommandStream(seed, LevelOf(seed));
        for (int i = 0; i < EntriesPerSeed; i++)
        {
            (ulong clock, KvRequest[] requests) = stream.Next();
            CommandResult[] results = machine.ApplyAtClock(clock, requests);
            List<CommandResult> expected = naive.Apply(clock, requests);
            stream.Saw(results);
            string[] shown = [.. results.Select(Show)];
            string[] wanted = [.. expected.Select(Show)];
            int different = Enumerable.Range(0, shown.Length).FirstOrDefault(n => shown[n] != wanted[n], -1);
            if (different >= 0)
            {
                return $"entry {i}, request {different} {requests[different]}: {shown[different]} instead of {wanted[different]}";
            }

            if (!machine.Rows().Order(StringComparer.Ordinal).SequenceEqual(naive.Rows.Order(StringComparer.Ordinal)))
            {
                return $"entry {i}: the rows differ";
            }

            if ((machine.State.RecordCount, machine.State.FloorCount, machine.GroupTime)
                != (naive.RecordCount, naive.FloorCount, naive.GroupTime))
            {
                return $"entry {i}: {machine.State.RecordCount} records, {machine.State.FloorCount} floors at {machine.GroupTime}, not "
                    + $"{naive.RecordCount}, {naive.FloorCount} at {naive.GroupTime}";
            }
        }

        return null;
    }

    internal static string? DifferenceAfterRestart(
        int seed, Func<IReadOnlyList<SnapshotSection>, IReadOnlyList<SnapshotSection>>? tamper)
    {
        var steady = new Machine { Level = LevelOf(seed) };
        var restarting = new Machine { Level = LevelOf(seed) };
        var stream = new CommandStream(seed, LevelOf(seed));
        for (int i = 0; i < EntriesPerSeed; i++)
        {
            if (i % 17 == 16)
            {
                restarting = restarting.Restarted(tamper);
            }

            (ulong clock, KvRequest[] requests) = stream.Next();
            CommandResult[] results = steady.ApplyAtClock(clock, requests);
            CommandResult[] again = restarting.ApplyAtClock(clock, requests);
            stream.Saw(results);
            if (!results.Select(Show).SequenceEqual(again.Select(Show)))
            {
                return $"entry {i}: the results differ";
            }

            if (steady.Hash() != restarting.Hash())
            {
                return $"entry {i}: the hashes differ";
            }
        }

        return null;
    }

    // Detail is words for people; everything else must agree.
    private static string Show(CommandResult r) =>
        $"{r.Code} {r.Outcome} {(r.Items is null ? r.Result : r.Revision)} duplicate={r.Duplicate} {(r.Succeeded ? "then" : "")}"
        + $"[{string.Join("; ", (r.Items ?? []).Select(i => $"{i.Code} {i.Outcome} {(i.IsHeldBack ? "held back " : "")}{Show(i.Result)}"))}]";

    private static string Show(Result? result) => result is Found found
        ? $"found @ {found.Revision} ({found.ContentType}): {Convert.ToHexString(found.Value.Span)}"
        : $"{result}";

    // Both forms of a log must mean the same.
    private static ushort LevelOf(int seed) => seed % 2 == 0 ? FeatureLevel.First : FeatureLevel.Max;
}
