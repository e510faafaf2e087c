using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.ExactlyOnceTests;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>The mutant of a rule must execute twice in the schedule the rule is there for (<see cref="ExactlyOnceTests"/>).</summary>
public sealed class ExactlyOnceNegativeControls
{
    [Theory]
    [InlineData("dedup_trim_boundary", Mutant.TrimmedAtEquality)]
    [InlineData("dedup_ackedbelow_stalled_copy", Mutant.FloorForgotten)]
    [InlineData("dedup_floor_outlives_a_clock_that_stepped_back", Mutant.FloorWithoutMemory)]
    public void Without_its_rule_a_schedule_executes_twice(string schedule, Mutant mutant)
    {
        Assert.Equal(1, Executions(schedule, RunNaive(schedule, Mutant.None)));
        Assert.Equal(2, Executions(schedule, RunNaive(schedule, mutant)));
    }

    [Fact]
    public void A_snapshot_without_its_records_executes_twice()
    {
        var machine = new Machine();
        machine.Apply(First);
        Assert.True(machine.Restarted().Apply(First).Duplicate);
        Assert.Equal(2, machine.Restarted(tamper: _ => []).Apply(First).Number);
    }

    private static List<CommandResult> RunNaive(string schedule, Mutant mutant)
    {
        var naive = new NaiveStateMachine(mutant, Start);
        return [.. Schedules[schedule].Select(step => naive.Apply(step.TimeMs << 16, [step.Request])[0])];
    }
}
