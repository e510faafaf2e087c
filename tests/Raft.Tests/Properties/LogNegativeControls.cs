using FsCheck;
using FsCheck.Fluent;
using static KvStore.Raft.Tests.Properties.LogTests;

namespace KvStore.Raft.Tests.Properties;

/// <summary>The log with a rule left out must fail the property of <see cref="LogTests"/>.</summary>
public sealed class LogNegativeControls
{
    /// <summary>Trimming by index and entry term alone falls into A-B-A.</summary>
    [Fact]
    public void Without_the_term_of_the_write_the_log_believes_too_much() =>
        Assert.ThrowsAny<Exception>(() => Prop.ForAll(Seeds(), seed => Play(seed, refusesOldTerms: false)).Check(Thorough));
}
