"""An honest answer tonight: two blocks, one position, cost, latency and accuracy over two seeds."""

from __future__ import annotations

from blockzoo import (
    LatencySettings,
    ScaffoldConfig,
    benchmark_blocks,
    get_protocol,
    load_dataset,
    profile_block,
    train_block,
)

blocks, position = ["ResNetBasicBlock", "MobileOneBlock"], "mid"
digits = load_dataset("digits@16")
protocol = get_protocol("quick3").changed(epochs=1)
config: ScaffoldConfig = protocol.scaffold(classes=10, input_shape=digits.image_shape)

for block in blocks:
    cost = profile_block(block, position, config=config)
    assert cost.stage_deploy is not None
    print(
        f"{block}: {cost.stage_deploy.params_total:,} parameters, {cost.stage_deploy.macs:,} MACs"
    )

for record in benchmark_blocks(
    blocks, [position], config=config, settings=LatencySettings(processes=3, budget_s=1.0)
):
    print(f"{record.block}: {record.median_ms:.2f} ms, {record.verdict}")

for block in blocks:
    for seed in (0, 1):
        trained = train_block(
            block, position, config=config, dataset=digits, recipe=protocol.recipe, seed=seed
        )
        print(f"{block}, seed {seed}: test accuracy {trained.test_accuracy:.3f}")
