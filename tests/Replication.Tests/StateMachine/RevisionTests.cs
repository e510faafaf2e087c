using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Revisions and group time: what the log means, whatever its leaders did.</summary>
public sealed class RevisionTests
{
    private const ulong StartClock = Start << 16;

    [Fact]
    public void A_command_has_the_clock_of_its_entry_plus_its_position()
    {
        var machine = new Machine();
        CommandResult[] results = machine.ApplyAtClock(StartClock + 100, Put("a", "1"), Put("b", "2"), Delete("a"));
        Assert.Equal([StartClock + 100, StartClock + 101, StartClock + 102], results.Select(r => r.Revision));
        Assert.Equal(StartClock + 102, machine.State.LastRevision);
        Assert.Equal(0, machine.State.ClockRepairs);
    }

    [Fact]
    public void Etag_same_entry_two_puts_of_one_key_have_two_revisions_and_the_second_condition_fails()
    {
        var machine = new Machine();
        ulong before = machine.Apply(Put("k", "old")).Revision;
        CommandResult[] results = machine.ApplyAt(
            Start + 1, Put("k", "A", condition: Is(before)), Put("k", "B", condition: Is(before)), Put("k", "C"));

        Assert.Equal([ErrorCode.None, ErrorCode.ConditionFailed, ErrorCode.None], results.Select(r => r.Code));
        Assert.NotEqual(results[0].Revision, results[2].Revision);
        Assert.Equal(results[0].Revision, results[1].Revision);
        Assert.Equal("C", machine.Value("k"));
        Assert.Equal(ErrorCode.ConditionFailed, machine.Apply(Put("k", "D", condition: Is(results[0].Revision))).Code);
    }

    [Fact]
    public void A_clock_that_repeats_the_last_revision_is_repaired_and_counted()
    {
        var machine = new Machine();
        machine.ApplyAtClock(StartClock + 10, Put("a", "1"), Put("a", "2"));
        CommandResult[] results = machine.ApplyAtClock(StartClock + 11, Put("a", "3"));
        Assert.Equal(StartClock + 12, results[0].Revision);
        Assert.Equal(1, machine.State.ClockRepairs);
    }

    [Fact]
    public void The_clock_right_above_the_last_revision_needs_no_repair()
    {
        var machine = new Machine();
        machine.ApplyAtClock(StartClock + 10, Put("a", "1"), Put("a", "2"));
        Assert.Equal(StartClock + 12, machine.ApplyAtClock(StartClock + 12, Put("a", "3"))[0].Revision);
        Assert.Equal(0, machine.State.ClockRepairs);
    }

    [Fact]
    public void Hlc_uncommitted_tail_a_leader_that_forgot_the_tail_of_its_log_cannot_reuse_a_revision()
    {
        // Three entries are in the log; the new leader had applied none of them and stamped its own from its wall clock, an hour behind.
        var machine = new Machine();
        var seen = new HashSet<ulong>();
        foreach (ulong clock in new[] { StartClock + 5, StartClock + 7, StartClock + 8, StartClock + 5 - (Hour << 16) })
        {
            foreach (CommandResult result in machine.ApplyAtClock(clock, Put("a", "x"), Put("b", "y"), Put("a", "z")))
            {
                Assert.True(seen.Add(result.Revision), $"revision {result.Revision} was used twice");
            }
        }

        Assert.Equal(3, machine.State.ClockRepairs);
        Assert.Equal(StartClock + 5 + 11, machine.State.LastRevision);
    }

    [Fact]
    public void Refused_duplicate_and_failed_commands_use_up_their_revisions()
    {
        var machine = new Machine();
        CommandResult[] results = machine.ApplyAtClock(
            StartClock + 100,
            Put("k", "1", Id(1, 1)),
            Put("k", "1", Id(1, 1)),
            Put("k", "2", Id(1, 2, firstSent: 1)),
            Put("k", "3", condition: Absent),
            Put("k", "4"));
        Assert.Equal(
            [ErrorCode.None, ErrorCode.None, ErrorCode.IdempotencyExpired, ErrorCode.ConditionFailed, ErrorCode.None],
            results.Select(r => r.Code));
        Assert.Equal(StartClock + 104, results[4].Revision);
        Assert.Equal(StartClock + 104, machine.State.LastRevision);
    }

    [Fact]
    public void A_refused_batch_uses_up_one_revision_per_item()
    {
        var machine = new Machine();
        CommandResult[] results = machine.ApplyAtClock(
            StartClock + 100, Batch(Id(1, 1, firstSent: 1), Put("{t}a", "1"), Put("{t}b", "2")), Put("k", "1"));
        Assert.Equal(ErrorCode.IdempotencyExpired, results[0].Code);
        Assert.Equal(StartClock + 102, results[1].Revision);
    }

    [Fact]
    public void No_ops_and_configuration_entries_use_one_revision_and_move_the_index_and_the_time()
    {
        var machine = new Machine();
        machine.NoOpAt(Start + 50);
        Assert.Equal((Start + 50) << 16, machine.State.LastRevision);
        machine.State.Apply(new Entry(6, 7, EntryKind.ConfChange, 1, (Start + 60) << 16, 1, new byte[] { 1, 2, 3 }), null);
        Assert.Equal((Start + 60) << 16, machine.State.LastRevision);
        Assert.Equal(7ul, machine.State.AppliedIndex);
        Assert.Equal(7ul, machine.State.Table.AppliedIndex);
        Assert.Equal(Start + 60, machine.State.Table.GroupTime);
    }

    [Fact]
    public void Hlc_counter_carries_into_the_milliseconds_after_70000_commands()
    {
        var machine = new Machine();
        KvRequest[] requests = [.. Enumerable.Range(0, 70_000).Select(i => Put("k", "v"))];
        CommandResult[] results = machine.ApplyAt(Start + 1, requests);
        Assert.Equal(((Start + 1) << 16) + 69_999, results[^1].Revision);
        Assert.Equal(Start + 2, machine.State.LastRevision >> 16);

        // Group time is that of the base; the next entry of the same millisecond starts behind all of them.
        Assert.Equal(Start + 1, machine.GroupTime);
        Assert.Equal(((Start + 1) << 16) + 70_000, machine.ApplyAt(Start + 1, Put("k", "w"))[0].Revision);
        Assert.Equal(1, machine.State.ClockRepairs);
        Assert.Equal(Start + 2, machine.GroupTime);
    }

    [Fact]
    public void Deleting_and_creating_again_never_gives_a_revision_twice()
    {
        var machine = new Machine();
        ulong[] revisions =
        [
            machine.Apply(Put("k", "v")).Revision, machine.Apply(Delete("k")).Revision, machine.Apply(Put("k", "v")).Revision,
            machine.Restarted().Apply(Put("k", "v")).Revision,
        ];
        Assert.Equal(revisions.Order(), revisions);
        Assert.Equal(revisions.Length, revisions.Distinct().Count());
    }

    [Fact]
    public void Group_time_never_goes_back()
    {
        var machine = new Machine();
        machine.NoOpAt(Start + 1000);
        machine.NoOpAt(Start);
        Assert.Equal(Start + 1000, machine.GroupTime);
        Assert.Equal(Start + 1000, machine.State.Table.GroupTime);
    }

    [Fact]
    public void A_fresh_group_shows_its_starting_index_to_readers_at_once()
    {
        var machine = new Machine();
        Assert.Equal(5ul, machine.State.Table.AppliedIndex);
        Assert.Equal(Start, machine.State.Table.GroupTime);
    }

    [Fact]
    public void An_entry_out_of_order_stops_the_replica()
    {
        var machine = new Machine();
        Entry next = machine.NoOp(StartClock + 1);
        Assert.Throws<InvariantViolationException>(() => machine.State.Apply(next with { Index = 5 }, null));
        Assert.Throws<InvariantViolationException>(() => machine.State.Apply(next with { Index = 7 }, null));
    }

    [Fact]
    public void An_entry_of_an_unknown_feature_level_stops_the_replica()
    {
        var machine = new Machine();
        Entry next = machine.NoOp(StartClock + 1);
        Assert.Throws<InvariantViolationException>(
            () => machine.State.Apply(next with { FeatureLevel = FeatureLevel.Max + 1 }, null));

        // Known to the build, and the group is not there yet.
        Assert.Throws<InvariantViolationException>(() => machine.State.Apply(next with { FeatureLevel = FeatureLevel.Max }, null));
    }

    [Fact]
    public void An_entry_whose_count_is_not_what_its_commands_use_stops_the_replica()
    {
        foreach (int wrong in new[] { -1, 1 })
        {
            var machine = new Machine();
            Entry entry = machine.EntryOf(StartClock + 1, Put("a", "1"), Put("b", "2"));
            Assert.Throws<InvariantViolationException>(
                () => machine.State.Apply(entry with { Count = (uint)(entry.Count + wrong) }, null));
        }
    }

    [Fact]
    public void Nothing_is_added_to_results_where_nobody_waits()
    {
        var machine = new Machine();
        machine.State.Apply(machine.EntryOf(StartClock + 1, Put("a", "1")), null);
        Assert.Equal("1", machine.Value("a"));
    }

    [Fact]
    public void A_key_of_a_virtual_node_the_group_does_not_own_is_refused_on_every_replica_alike()
    {
        string foreign = Enumerable.Range(0, 100).Select(i => $"k{i}").First(k => VirtualNodeOf(Bytes(k)) != 0);
        string own = Enumerable.Range(0, 100).Select(i => $"k{i}").First(k => VirtualNodeOf(Bytes(k)) == 0);
        var machine = new Machine(virtualNodes: [0]);
        CommandResult[] results = machine.ApplyAt(
            Start + 1, Put(foreign, "1", Id(1, 1)), Batch(Id(1, 2), Put(own, "1"), Put(foreign, "2")), Put(own, "3"));
        Assert.Equal([ErrorCode.WrongNode, ErrorCode.WrongNode, ErrorCode.None], results.Select(r => r.Code));
        Assert.Equal([Outcome.NotApplied, Outcome.NotApplied, Outcome.Applied], results.Select(r => r.Outcome));
        Assert.Equal("3", machine.Value(own));
        Assert.Equal(0, machine.State.RecordCount);
    }
}
