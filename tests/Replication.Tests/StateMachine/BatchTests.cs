using KvStore.Protocol;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

public sealed class BatchTests
{
    private readonly Machine _machine = new();

    [Fact]
    public void A_batch_writes_all_its_items_each_with_a_revision_of_its_own()
    {
        _machine.Apply(Put("{t}gone", "x"));
        ulong clock = (Start + 1) << 16;
        CommandResult batch = _machine.ApplyAtClock(
            clock, Batch(null, Put("{t}a", "1"), Increment("{t}n", 5), Delete("{t}gone"), Delete("{t}never")))[0];
        Assert.Equal((ErrorCode.None, Outcome.Applied, clock + 3), (batch.Code, batch.Outcome, batch.Revision));
        Assert.Equal([clock, clock + 1, clock + 2, clock + 3], batch.Items!.Select(i => i.Revision));
        Assert.Equal([true, false, true, false], batch.Items!.Select(i => i.Changed));
        Assert.Equal(5, batch.Items![1].Number);
        Assert.Equal(("1", "5", null), (_machine.Value("{t}a"), _machine.Value("{t}n"), _machine.Value("{t}gone")));
    }

    [Fact]
    public void When_one_item_fails_nothing_of_the_batch_is_written()
    {
        ulong a = _machine.Apply(Put("{t}a", "old")).Revision;
        ulong b = _machine.Apply(Put("{t}b", "old")).Revision;
        CommandResult batch = _machine.Apply(
            Batch(null, Put("{t}a", "new"), Put("{t}b", "new", condition: Is(a)), Delete("{t}a"), Put("{t}c", "new")));

        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied, 0ul), (batch.Code, batch.Outcome, batch.Revision));
        Assert.All(batch.Items!, i => Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied, false), (i.Code, i.Outcome, i.Changed)));
        Assert.Equal([a, b, a, 0ul], batch.Items!.Select(i => i.Revision));
        Assert.Equal(("old", "old", null), (_machine.Value("{t}a"), _machine.Value("{t}b"), _machine.Value("{t}c")));

        // Which item was at fault is told to programs, and to people in its own words.
        Assert.Equal([true, false, true, true], batch.Items!.Select(i => i.IsHeldBack));
        Assert.Single(batch.Items!, i => i.Detail != batch.Items![0].Detail);
    }

    [Fact]
    public void An_item_that_is_not_a_number_fails_the_batch_with_that_code()
    {
        _machine.Apply(Put("{t}a", "abc"));
        CommandResult batch = _machine.Apply(Batch(null, Put("{t}b", "1"), Increment("{t}a"), Put("{t}c", "1", condition: Exists)));
        Assert.Equal(ErrorCode.NotANumber, batch.Code);
        Assert.Equal([ErrorCode.NotANumber, ErrorCode.NotANumber, ErrorCode.ConditionFailed], batch.Items!.Select(i => i.Code));
        Assert.Null(_machine.Value("{t}b"));
    }

    [Fact]
    public void An_item_sees_what_the_items_before_it_write()
    {
        CommandResult batch = _machine.Apply(Batch(
            null,
            Put("{t}k", "1", condition: Absent),
            Increment("{t}k", 10, condition: Exists),
            Increment("{t}k", 10),
            Delete("{t}k"),
            Put("{t}k", "end", condition: Absent)));
        Assert.Equal(ErrorCode.None, batch.Code);
        Assert.Equal([0L, 11L, 21L, 0L, 0L], batch.Items!.Select(i => i.Number));
        Assert.Equal([true, false, false, true, true], batch.Items!.Select(i => i.Changed));
        Assert.Equal("end", _machine.Value("{t}k"));
        Assert.Equal(batch.Revision, _machine.Revision("{t}k"));
    }

    [Fact]
    public void A_revision_that_was_not_written_is_shown_to_nobody()
    {
        ulong current = _machine.Apply(Put("{t}k", "1")).Revision;
        CommandResult batch = _machine.Apply(Batch(null, Put("{t}k", "2"), Put("{t}k", "3", condition: Is(current))));
        Assert.Equal(ErrorCode.ConditionFailed, batch.Code);
        Assert.Equal([current, current], batch.Items!.Select(i => i.Revision));
    }

    [Fact]
    public void A_batch_that_deletes_what_it_puts_leaves_nothing()
    {
        CommandResult batch = _machine.Apply(Batch(null, Put("{t}k", "1"), Delete("{t}k")));
        Assert.Equal((ErrorCode.None, true), (batch.Code, batch.Items![1].Changed));
        Assert.Null(_machine.Value("{t}k"));
        Assert.Equal(0, _machine.State.Table.KeyCount);
    }

    [Fact]
    public void Items_may_lie_in_several_virtual_nodes_of_the_group()
    {
        KvRequest[] items = [.. Enumerable.Range(0, 64).Select(i => Put($"k{i}", $"{i}"))];
        Assert.True(items.Select(i => VirtualNodeOf(i.Key.Span)).Distinct().Count() > 1);
        CommandResult batch = _machine.Apply(Batch(Id(1, 1), items));
        Assert.Equal(64, batch.Items!.Count);
        Assert.All(Enumerable.Range(0, 64), i => Assert.Equal($"{i}", _machine.Value($"k{i}")));
    }

    [Fact]
    public void A_repeated_batch_gets_the_stored_results_of_its_items_also_after_a_restart()
    {
        KvRequest request = Batch(Id(1, 1), Put("{t}a", "1"), Increment("{t}n"));
        CommandResult first = _machine.Apply(request);
        foreach (Machine machine in new[] { _machine, _machine.Restarted() })
        {
            CommandResult again = machine.Apply(request);
            Assert.True(again.Duplicate);
            Assert.Equal(first.Revision, again.Revision);
            Assert.Equal(first.Items!, again.Items!);
            Assert.Equal("1", machine.Value("{t}n"));
        }
    }

    [Fact]
    public void A_repeated_batch_that_failed_fails_again_even_when_it_would_succeed_now()
    {
        KvRequest request = Batch(Id(1, 1), Put("{t}a", "1"), Put("{t}b", "1", condition: Exists));
        CommandResult first = _machine.Apply(request);
        _machine.Apply(Put("{t}b", "now"));
        foreach (Machine machine in new[] { _machine, _machine.Restarted() })
        {
            CommandResult again = machine.Apply(request);
            Assert.Equal((ErrorCode.ConditionFailed, true), (again.Code, again.Duplicate));
            Assert.Equal(first.Items!, again.Items!);
            Assert.Null(machine.Value("{t}a"));
        }
    }
}
