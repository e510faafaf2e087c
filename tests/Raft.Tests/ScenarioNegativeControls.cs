namespace KvStore.Raft.Tests;

/// <summary>The stories whose name ends in <c>_control</c>: a rule is left out, and what it prevents happens.</summary>
public sealed class ScenarioNegativeControls
{
    public static TheoryData<string> Names => [.. ScenarioTests.All().Where(ScenarioTests.IsControl)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Without_its_rule_a_scenario_ends_badly(string name) => ScenarioTests.PlayFile(name);
}
