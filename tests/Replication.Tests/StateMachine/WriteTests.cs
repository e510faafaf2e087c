using KvStore.Protocol;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Puts, deletes, increments and their conditions.</summary>
public sealed class WriteTests
{
    private readonly Machine _machine = new();

    [Fact]
    public void A_put_says_whether_it_created_its_key()
    {
        CommandResult first = _machine.Apply(Put("k", "1"));
        CommandResult second = _machine.Apply(Put("k", "2"));
        Assert.Equal((ErrorCode.None, Outcome.Applied, true), (first.Code, first.Outcome, first.Changed));
        Assert.Equal((ErrorCode.None, Outcome.Applied, false), (second.Code, second.Outcome, second.Changed));
        Assert.Equal("2", _machine.Value("k"));
        Assert.Equal(second.Revision, _machine.Revision("k"));
        Assert.Null(second.Detail);
        Assert.Null(second.Items);
    }

    [Fact]
    public void A_put_stores_its_content_type_and_an_empty_value_is_a_value()
    {
        _machine.Apply(Put("k", "", type: "application/json"));
        Assert.Equal("", _machine.Value("k"));
        Assert.Equal("application/json", _machine.ContentType("k"));
        _machine.Apply(Put("k", "x"));
        Assert.Null(_machine.ContentType("k"));
    }

    [Fact]
    public void The_largest_value_with_the_longest_content_type_fits()
    {
        var request = new KvRequest
        {
            Operation = new Put(
                new byte[Limits.MaxKeyBytes], new byte[Limits.MaxValueBytes], new string('t', Limits.MaxContentTypeBytes)),
        };
        Assert.Equal(ErrorCode.None, _machine.Apply(request).Code);
        Assert.Equal(_machine.Hash(), _machine.Restarted().Hash());
    }

    [Fact]
    public void A_delete_says_whether_there_was_a_key_and_succeeds_either_way()
    {
        _machine.Apply(Put("k", "1"));
        CommandResult first = _machine.Apply(Delete("k"));
        CommandResult second = _machine.Apply(Delete("k"));
        Assert.Equal((ErrorCode.None, true, Outcome.Applied), (first.Code, first.Changed, first.Outcome));
        Assert.Equal((ErrorCode.None, false, Outcome.Applied), (second.Code, second.Changed, second.Outcome));
        Assert.True(second.Revision > first.Revision);
        Assert.Null(_machine.Value("k"));
    }

    [Fact]
    public void A_condition_on_the_revision_holds_for_exactly_that_revision()
    {
        ulong revision = _machine.Apply(Put("k", "1")).Revision;
        CommandResult wrong = _machine.Apply(Put("k", "2", condition: Is(revision + 1)));
        Assert.Equal((ErrorCode.ConditionFailed, Outcome.NotApplied, revision), (wrong.Code, wrong.Outcome, wrong.Revision));
        Assert.NotNull(wrong.Detail);
        Assert.Equal("1", _machine.Value("k"));
        Assert.Equal(ErrorCode.None, _machine.Apply(Put("k", "2", condition: Is(revision))).Code);
    }

    [Fact]
    public void A_condition_on_the_revision_of_an_absent_key_fails_and_shows_revision_0()
    {
        foreach (ulong revision in new ulong[] { 0, 1 })
        {
            CommandResult result = _machine.Apply(Put("k", "1", condition: Is(revision)));
            Assert.Equal((ErrorCode.ConditionFailed, 0ul), (result.Code, result.Revision));
        }

        ulong deleted = _machine.Apply(Put("k", "1")).Revision;
        _machine.Apply(Delete("k"));
        CommandResult after = _machine.Apply(Put("k", "2", condition: Is(deleted)));
        Assert.Equal((ErrorCode.ConditionFailed, 0ul), (after.Code, after.Revision));
    }

    [Fact]
    public void Absent_lets_only_a_creation_through()
    {
        Assert.Equal(ErrorCode.None, _machine.Apply(Put("k", "1", condition: Absent)).Code);
        CommandResult second = _machine.Apply(Put("k", "2", condition: Absent));
        Assert.Equal((ErrorCode.ConditionFailed, _machine.Revision("k")), (second.Code, second.Revision));
        Assert.Equal("1", _machine.Value("k"));
    }

    [Fact]
    public void Exists_lets_only_an_existing_key_through()
    {
        Assert.Equal(ErrorCode.ConditionFailed, _machine.Apply(Put("k", "1", condition: Exists)).Code);
        Assert.Equal(ErrorCode.ConditionFailed, _machine.Apply(Delete("k", condition: Exists)).Code);
        Assert.Equal(ErrorCode.ConditionFailed, _machine.Apply(Increment("k", condition: Exists)).Code);
        _machine.Apply(Put("k", "1"));
        Assert.Equal(ErrorCode.None, _machine.Apply(Increment("k", condition: Exists)).Code);
        Assert.Equal(ErrorCode.None, _machine.Apply(Put("k", "1", condition: Exists)).Code);
        Assert.Equal(ErrorCode.None, _machine.Apply(Delete("k", condition: Exists)).Code);
    }

    [Fact]
    public void Conditions_guard_deletes_and_increments_too()
    {
        ulong revision = _machine.Apply(Put("k", "5")).Revision;
        Assert.Equal(ErrorCode.ConditionFailed, _machine.Apply(Delete("k", condition: Is(revision - 1))).Code);
        Assert.Equal(ErrorCode.ConditionFailed, _machine.Apply(Increment("k", condition: Is(revision - 1))).Code);
        Assert.Equal("5", _machine.Value("k"));
        Assert.Equal(6, _machine.Apply(Increment("k", condition: Is(revision))).Number);
    }

    [Fact]
    public void An_increment_of_an_absent_key_starts_at_initial_and_adds_the_delta()
    {
        CommandResult result = _machine.Apply(Increment("k", delta: -3, initial: 10));
        Assert.Equal((ErrorCode.None, 7L), (result.Code, result.Number));
        Assert.Equal("7", _machine.Value("k"));
        Assert.Equal("text/plain", _machine.ContentType("k"));
        Assert.Equal(result.Revision, _machine.Revision("k"));
        Assert.Equal(8, _machine.Apply(Increment("k", initial: 100)).Number);
    }

    [Fact]
    public void An_increment_keeps_the_content_type_the_counter_was_put_with()
    {
        _machine.Apply(Put("k", "41", type: "application/json"));
        _machine.Apply(Increment("k"));
        Assert.Equal("42", _machine.Value("k"));
        Assert.Equal("application/json", _machine.ContentType("k"));
    }

    [Theory]
    [InlineData("0", 0)]
    [InlineData("-1", -1)]
    [InlineData("9223372036854775806", long.MaxValue - 1)]
    [InlineData("-9223372036854775808", long.MinValue)]
    public void Counters_are_decimal_integers(string text, long number)
    {
        _machine.Apply(Put("k", text));
        Assert.Equal(number + 1, _machine.Apply(Increment("k")).Number);
        Assert.Equal((number + 1).ToString(System.Globalization.CultureInfo.InvariantCulture), _machine.Value("k"));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("+1")]
    [InlineData("-")]
    [InlineData("1.0")]
    [InlineData("1e3")]
    [InlineData("0x10")]
    [InlineData("1,000")]
    [InlineData("9223372036854775808")]
    [InlineData("-9223372036854775809")]
    [InlineData("abc")]
    public void What_is_no_decimal_int64_is_not_a_number(string text)
    {
        ulong revision = _machine.Apply(Put("k", text)).Revision;
        CommandResult result = _machine.Apply(Increment("k"));
        Assert.Equal((ErrorCode.NotANumber, Outcome.NotApplied, revision), (result.Code, result.Outcome, result.Revision));
        Assert.Equal(text, _machine.Value("k"));
    }

    [Theory]
    [InlineData(long.MaxValue, 1)]
    [InlineData(long.MinValue, -1)]
    [InlineData(long.MinValue, long.MinValue)]
    [InlineData(long.MaxValue, long.MaxValue)]
    public void An_overflow_is_not_a_number_and_changes_nothing(long value, long delta)
    {
        CommandResult absent = _machine.Apply(Increment("k", delta, initial: value));
        Assert.Equal((ErrorCode.NotANumber, 0ul), (absent.Code, absent.Revision));
        Assert.Null(_machine.Value("k"));

        _machine.Apply(Increment("k", 0, initial: value));
        Assert.Equal(ErrorCode.NotANumber, _machine.Apply(Increment("k", delta)).Code);
        Assert.Equal(value, _machine.Apply(Increment("k", 0)).Number);
    }
}
