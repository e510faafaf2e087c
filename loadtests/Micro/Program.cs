using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using KvStore.Micro;

// In this process: a generated project would be built without the repository's settings.
var config = DefaultConfig.Instance
    .AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithIterationCount(20))
    .WithArtifactsPath("out/micro");
BenchmarkSwitcher.FromAssembly(typeof(LocalReadBenchmark).Assembly).Run(args, config);
