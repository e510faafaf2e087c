using KvStore.Protocol;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

public sealed class AppendTests
{
    private readonly Machine _machine = new() { Level = FeatureLevel.Max };

    [Fact]
    public void An_append_to_an_absent_key_creates_it_with_its_content_type()
    {
        CommandResult first = _machine.Apply(Append("k", "ab", type: "text/plain"));
        Assert.Equal((ErrorCode.None, Outcome.Applied, new Written(first.Revision, true)), (first.Code, first.Outcome, first.Result));
        Assert.Equal(("ab", "text/plain"), (_machine.Value("k"), _machine.ContentType("k")));
        Assert.Equal(first.Revision, _machine.Revision("k"));
    }

    [Theory]
    [InlineData("application/json", "text/plain")]
    [InlineData("application/json", null)]
    [InlineData(null, "text/plain")]
    public void An_append_adds_to_the_end_and_keeps_the_content_type_of_the_key(string? type, string? other)
    {
        _machine.Apply(Put("k", "ab", type: type));
        CommandResult second = _machine.Apply(Append("k", "c", type: other));
        Assert.Equal(new Written(second.Revision, false), second.Result);
        Assert.Equal(("abc", type), (_machine.Value("k"), _machine.ContentType("k")));
        Assert.Equal(second.Revision, _machine.Revision("k"));
    }

    [Fact]
    public void Nothing_can_be_added_and_is_a_write_all_the_same()
    {
        Assert.True(_machine.Apply(Append("k", "")).Changed);
        ulong first = _machine.Revision("k");
        CommandResult second = _machine.Apply(Append("k", ""));
        Assert.Equal(("", second.Revision), (_machine.Value("k"), _machine.Revision("k")));
        Assert.True(second.Revision > first);
    }

    [Fact]
    public void A_counter_can_be_added_to_and_goes_on_as_what_it_is_then()
    {
        _machine.Apply(Increment("n", 4));
        _machine.Apply(Append("n", "2"));
        Assert.Equal(43, _machine.Apply(Increment("n")).Number);
        _machine.Apply(Append("n", "x"));
        Assert.Equal(ErrorCode.NotANumber, _machine.Apply(Increment("n")).Code);
    }

    [Fact]
    public void A_condition_that_fails_leaves_the_value_as_it_is()
    {
        CommandResult absent = _machine.Apply(Append("k", "x", condition: Exists));
        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied, new Current(0)), (absent.Code, absent.Outcome, absent.Result));
        Assert.Null(_machine.Value("k"));

        ulong revision = _machine.Apply(Append("k", "a", condition: Absent)).Revision;
        Assert.Equal(new Current(revision), _machine.Apply(Append("k", "x", condition: Absent)).Result);
        Assert.Equal(ErrorCode.ConditionFailed, _machine.Apply(Append("k", "x", condition: Is(revision - 1))).Code);
        Assert.Equal("a", _machine.Value("k"));
        Assert.Equal(ErrorCode.None, _machine.Apply(Append("k", "b", condition: Is(revision))).Code);
        Assert.Equal("ab", _machine.Value("k"));
    }

    [Fact]
    public void A_copy_gets_the_stored_result_and_adds_nothing_also_after_a_restart()
    {
        KvRequest request = Append("k", "a", Id(1, 1));
        CommandResult first = _machine.Apply(request);
        _machine.Apply(Append("k", "b", Id(1, 2)));
        foreach (Machine machine in new[] { _machine, _machine.Restarted() })
        {
            Assert.Equal(first with { Duplicate = true }, machine.Apply(request));
            Assert.Equal("ab", machine.Value("k"));
        }
    }

    [Fact]
    public void A_value_grows_to_the_limit_and_no_byte_further()
    {
        ulong revision = _machine.Apply(Put("k", new string('v', Limits.MaxValueBytes - 1), type: new string('t', Limits.MaxContentTypeBytes))).Revision;
        CommandResult two = _machine.Apply(Append("k", "ab"));
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied, new Current(revision)), (two.Code, two.Outcome, two.Result));
        Assert.NotNull(two.Detail);
        Assert.Equal((Limits.MaxValueBytes - 1, revision), (_machine.Value("k")!.Length, _machine.Revision("k")));

        CommandResult one = _machine.Apply(Append("k", "a"));
        Assert.Equal((ErrorCode.None, Limits.MaxValueBytes), (one.Code, _machine.Value("k")!.Length));
        Assert.Equal(ErrorCode.TooLarge, _machine.Apply(Append("k", "b")).Code);
        Assert.Equal(ErrorCode.None, _machine.Apply(Append("k", "")).Code);
        Assert.Equal(_machine.Hash(), _machine.Restarted().Hash());
    }

    [Fact]
    public void That_a_value_was_too_large_is_a_result_and_is_stored()
    {
        _machine.Apply(Put("k", new string('v', Limits.MaxValueBytes)));
        KvRequest request = Append("k", "a", Id(1, 1));
        CommandResult first = _machine.Apply(request);
        Assert.Equal(ErrorCode.TooLarge, first.Code);
        Assert.Equal(1, _machine.State.RecordCount);
        _machine.Apply(Put("k", "short"));

        // It would fit now; a retry must hear what the first copy came to.
        foreach (Machine machine in new[] { _machine, _machine.Restarted() })
        {
            Assert.Equal(first with { Duplicate = true }, machine.Apply(request));
            Assert.Equal("short", machine.Value("k"));
        }
    }

    [Fact]
    public void In_a_batch_it_adds_to_what_the_items_before_it_write()
    {
        _machine.Apply(Put("{t}a", "old", type: "text/csv"));
        _machine.Apply(Put("{t}b", "old", type: "text/csv"));
        CommandResult batch = _machine.Apply(Batch(
            Id(1, 1),
            Put("{t}a", "1", type: "text/plain"), Append("{t}a", "2", type: "text/xml"), Append("{t}a", "3"),
            Delete("{t}b"), Append("{t}b", "4", condition: Absent),
            Append("{t}c", "5", type: "text/xml"), Increment("{t}c"), Append("{t}c", "7")));
        Assert.Equal((ErrorCode.None, 8), (batch.Code, batch.Items!.Count));
        Assert.Equal([false, false, false, true, true, true, false, false], batch.Items!.Select(i => i.Changed));
        Assert.Equal(("123", "text/plain"), (_machine.Value("{t}a"), _machine.ContentType("{t}a")));
        Assert.Equal(("4", null), (_machine.Value("{t}b"), _machine.ContentType("{t}b")));
        Assert.Equal(("67", "text/xml"), (_machine.Value("{t}c"), _machine.ContentType("{t}c")));
        Assert.Equal(batch.Revision, _machine.Revision("{t}c"));
    }

    [Fact]
    public void An_item_that_makes_a_value_too_large_fails_its_batch_and_the_copy_says_so_again()
    {
        ulong revision = _machine.Apply(Put("{t}a", "old")).Revision;
        KvRequest request = Batch(
            Id(1, 1), Append("{t}a", "1"), Put("{t}b", new string('v', Limits.MaxValueBytes)), Append("{t}b", "1"), Append("{t}c", "1"));
        CommandResult batch = _machine.Apply(request);
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied, 0ul), (batch.Code, batch.Outcome, batch.Revision));
        Assert.Equal([revision, 0ul, 0ul, 0ul], batch.Items!.Select(i => i.Revision));
        Assert.All(batch.Items!, i => Assert.Equal(ErrorCode.TooLarge, i.Code));
        Assert.Equal(("old", null, null), (_machine.Value("{t}a"), _machine.Value("{t}b"), _machine.Value("{t}c")));
        CommandResult again = _machine.Restarted().Apply(request);
        Assert.True(again.Duplicate);
        Assert.Equal(batch.Items!, again.Items!);
    }

    /// <summary>A few bytes each, and a large value each time: what a batch keeps until it is decided must not grow with the product of the two.</summary>
    [Fact]
    public void The_values_that_the_appends_of_a_batch_lead_to_have_a_limit_together()
    {
        _machine.Apply(Put("{t}a", new string('v', Limits.MaxValueBytes - 4)));
        KvRequest[] four = [.. Enumerable.Repeat(Append("{t}a", "x"), 4)];

        // Together 4 MiB - 6, and 1 + 2 + 3.
        KvRequest[] upToTheLimit = [.. four, Append("{t}b", "1"), Append("{t}b", "2"), Append("{t}b", "3")];
        CommandResult above = _machine.Apply(Batch(Id(1, 1), [.. upToTheLimit, Append("{t}c", "4"), Append("{t}d", "", condition: Exists)]));
        Assert.Equal((ErrorCode.TooLarge, Outcome.NotApplied), (above.Code, above.Outcome));
        Assert.All(above.Items!, i => Assert.Equal(ErrorCode.TooLarge, i.Code));
        Assert.Contains("4194304", above.Items![7].Detail);
        Assert.Equal((Limits.MaxValueBytes - 4, null), (_machine.Value("{t}a")!.Length, _machine.Value("{t}b")));

        // What is put does not count: it has been sent.
        CommandResult at = _machine.Apply(Batch(Id(1, 2), [Put("{t}c", new string('p', 1_000)), .. upToTheLimit]));
        Assert.Equal(ErrorCode.None, at.Code);
        Assert.Equal((Limits.MaxValueBytes, "123"), (_machine.Value("{t}a")!.Length, _machine.Value("{t}b")));
        Assert.Equal(_machine.Hash(), _machine.Restarted().Hash());
    }

    [Fact]
    public void An_append_or_a_batch_with_one_needs_the_level_of_appends()
    {
        Assert.Equal(2, Append("k", "a").Operation.Level);
        Assert.Equal(2, Batch(null, Put("{t}a", "1"), Append("{t}a", "1")).Operation.Level);
        Assert.Equal(FeatureLevel.First, Batch(null, Put("{t}a", "1"), Increment("{t}n")).Operation.Level);
    }
}
